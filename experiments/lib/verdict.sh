# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# One TAP line a check, what happens on leaving early, and the exit status: 0 every fact held, 1 one did not or
# none was checked, 4 cannot run here (1 with REQUIRE_ALL=1).

title='' concluded='' interrupted=0
checks=0 failures=0 left_out=0
# The expectation that has begun, until it has its check: after some errors of its own bash only goes on with the next line.
unchecked=''
bold='' green='' red='' plain=''
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
	bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

say() {
	printf '%s\n' "$@"
}

# A line for the reader and for the record of the verdict.
tap() {
	local line=$1 colour=${2-}
	say "$colour$line${colour:+$plain}"
	[[ -z $evidence ]] || say "$line" >>"$evidence/verdict.tap"
}

# result OUTCOME DESCRIPTION EXPECTED SEEN: the line of a check that held or failed, and its note.
result() {
	unchecked=''
	case $1 in
	held) tap "ok $((++checks)) - $2" "$green" ;;
	failed)
		((++failures))
		tap "not ok $((++checks)) - $2" "$red"
		;;
	esac
	note_check "${@:2:3}" "$1"
}

# pass DESCRIPTION EXPECTED DESCRIBE…: what was there is the line that the check found, or what DESCRIBE puts into seen.
pass() {
	local -a seen=()
	if [[ -n $found_line ]]; then seen=("$found_line"); else "${@:3}"; fi
	local IFS=$'\n'
	result held "$1" "$2" "${seen[*]}"
}

# fail DESCRIPTION EXPECTED DESCRIBE…: the command DESCRIBE puts what was there instead into seen.
fail() {
	local line lead='# seen      '
	local -a seen=()
	"${@:3}"
	local IFS=$'\n'
	result failed "$1" "$2" "${seen[*]}"
	IFS=$' \t\n'
	tap "# expected  $2"
	for line in "${seen[@]}"; do
		tap "$lead$line"
		lead='#           '
	done
	ask_kernel
	show_table table tap '#   '
}

# check STATUS DESCRIPTION EXPECTED DESCRIBE…
check() {
	if (($1 == 0)); then pass "${@:2}"; else fail "${@:2}"; fi
	found_line=''
}

# The line of the experiment that is being carried out.
line_of_script() {
	local frame
	for ((frame = ${#BASH_SOURCE[@]} - 1; frame > 0; frame--)); do
		if [[ ${BASH_SOURCE[frame]} == "$script" ]]; then
			printf '%s' "${BASH_LINENO[frame - 1]}"
			return
		fi
	done
}

# Ends an experiment that cannot go on: a mistake in the script, or in what it was given.
die() {
	heed_signals
	local line
	line=$(line_of_script)
	printf '%s%s: %s\n' "$script" "${line:+:$line}" "$1" >&2
	exit 1
}

# arguments LEAST MOST USAGE "$@": ends the experiment when the calling word was given too few or too many.
arguments() {
	(($# - 3 >= $1 && $# - 3 <= $2)) || die "${FUNCNAME[1]} needs $3, not $(($# - 3)) arguments: ${*:4}"
}

# skip REASON: this machine cannot answer the question.
skip() {
	concluded=yes
	discard_evidence
	if [[ ${REQUIRE_ALL:-0} != 0 ]]; then
		tap "not ok 1 - skipped, though REQUIRE_ALL is set"
		tap "# ${1//$'\n'/$'\n# '}"
		tap "1..1"
		exit 1
	fi
	tap "1..0 # SKIP ${1//$'\n'/; }"
	exit 4
}

# leave_out REASON: a check that this machine cannot make, while the others go on.
leave_out() {
	arguments 1 1 "REASON" "$@"
	unchecked=''
	((++left_out))
	if [[ ${REQUIRE_ALL:-0} != 0 ]]; then
		result failed "left out, though REQUIRE_ALL is set: $1" '' ''
	else
		tap "ok $((++checks)) # SKIP $1"
		note_check "$1" '' '' skipped
	fi
}

# word NAME "$@": what every word does first.
word() {
	[[ -n $title ]] || die "$1: say 'experiment TITLE' first"
	[[ -z $unchecked ]] || die "$unchecked: has checked nothing"
	heed_signals
	[[ -z ${STEP-} || ${STEP-} == 0 ]] || step "$@"
}

# Shows what comes next and waits for Enter.
step() {
	{ : </dev/tty; } 2>/dev/null || die "STEP=1 needs a terminal"
	say "" "next: ${*//"$root/"/}"
	if [[ -n $outside_pid ]]; then
		say "look around: ${programs#"$root/"}/fourtuple isolate --join $outside_pid -- bash"
	else
		say "look around: any shell, this is your own network"
	fi
	printf 'Enter to go on ' >/dev/tty
	local status=142
	while ((status > 128)); do
		heed_signals
		status=0
		timed_read 0.2 </dev/tty >/dev/null || status=$?
	done
	((status == 0)) || die "STEP=1: end of input"
}

# The plan, the table at its best moment, the verdict; and out.
verdict() {
	concluded=yes
	if ((checks == left_out)); then
		result failed "the experiment checks nothing" "at least one check" "none"
		tap "1..$checks"
		publish_evidence
		exit 1
	fi
	tap "1..$checks"
	show_table best_table say
	if ((failures > 0)); then
		in_language "verdict: %d of %d facts did not hold." "$failures" "$checks"
		say "$red$phrase$plain"
	else
		in_language "verdict: %s" "${answer:-every fact held.}"
		say "$bold$phrase$plain"
	fi
	say_score
	publish_evidence || exit 1
	in_language "evidence: %s" "${evidence#"$PWD/"}"
	say "$phrase"
	show_diagram
	exit $((failures > 0))
}

# bash traps no signal that was ignored when it started, as SIGINT is of what a script starts with `&`: the same experiment
# again, with the signals as usual. Our programs take them up by themselves, and so does an experiment.
heed_ignored_signals() {
	[[ -z $(trap -p INT) ]] || exec env --default-signal=INT,QUIT "$BASH" "$script"
}

# Nothing that was started outlives the experiment, and only `conclude` and `skip` may leave with their own status.
on_exit() {
	trap leave EXIT
	trap 'die "\"$BASH_COMMAND\" failed with status $?"' ERR
	trap 'exit 141' PIPE
	# Heeded between two commands, so that what is being started has a name when everything is ended.
	trap 'interrupted=129' HUP
	trap 'interrupted=130' INT
	trap 'interrupted=143' TERM
}

# heed_signals: leaves if one came. Whatever waits says this again and again.
heed_signals() {
	((interrupted == 0)) || exit "$interrupted"
}

leave() {
	local status=$?
	trap - ERR EXIT
	interrupted=0
	[[ -z $title ]] || end_programs
	[[ -z $concluded ]] || exit "$status"
	case $status in
	129 | 130 | 141 | 143)
		discard_evidence
		exit "$status"
		;;
	esac
	result failed "the experiment reaches its conclusion" "the word conclude" "an end before it, with status $status"
	tap "1..$checks"
	[[ -z $evidence ]] || publish_evidence || true
	exit 1
}
