# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# Programs by NAME: started, waited for, stopped, and what they said. NAME.out and NAME.err are kept in the evidence.

# In the order of their start, and the listeners among them.
program_names=() listener_names=()
declare -A program_pid=() program_status=() program_command=()
# Names whose program ended before it was ready, until an expect_*_error takes the failure for a fact.
declare -A failed_start=()
# The ports that the experiment named.
declare -A used_port=()
programs_ended=''
# The line that made the last check hold, where it is one.
found_line=''

find_programs() {
	local program
	for program in fourtuple listener connector talk relay; do
		[[ -x $programs/$program ]] || die "$programs/$program is not there: make build"
	done
}

# timed_read SECONDS: a line of standard input; fails, with a status above 128, where none comes in time. In a process of its
# own: bash that has read with a timeout may be left with any signals blocked, and then sees neither its programs end nor Ctrl-C.
timed_read() (
	IFS= read -r -t "$1" line || exit
	printf '%s\n' "$line"
)

# wait_until COMMAND…: polls COMMAND until it succeeds; fails when patience is over. A poll takes a twentieth of patience at
# most, however long it was: a machine may stand still for a while, and that is nobody's failure. The pause between two polls is
# a tenth of what was waited, 5 to 50 ms, so that waiting in vain costs little.
wait_until() {
	local waited=0 before=${EPOCHREALTIME//[!0-9]/} now most=$((patience / 20 + 1)) micros pause_seconds
	until "$@"; do
		heed_signals
		now=${EPOCHREALTIME//[!0-9]/}
		((waited += now - before < most ? now - before : most, waited < patience)) || return 1
		before=$now
		((micros = waited < 50000 ? 5000 : waited < 500000 ? waited / 10 : 50000))
		printf -v pause_seconds '0.%06d' "$micros"
		timed_read "$pause_seconds" <&"$pause" || true
	done
}

# split ADDRESS: sets ip and port from 127.0.0.1:3000 or [::1]:3000.
split() {
	[[ $1 =~ ^(\[[0-9a-fA-F:.%a-z]+\]|[^:]+):([0-9]+)$ ]] || die "${FUNCNAME[1]}: '$1' is not IP:PORT"
	ip=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
	ip=${ip#[} ip=${ip%]}
	used_port[$port]=yes
}

# started NAME: whether a program of this name was.
started() {
	[[ -n ${program_pid[$1]-} ]]
}

# known WORD NAME: ends the experiment unless NAME was started.
known() {
	started "$2" || die "$1: no program is called '$2' (there is: ${program_names[*]})"
}

# launch NAME COMMAND…: in the background, its output in the evidence. Ours keep their events too: the caller sets events, and
# input where there is one.
launch() {
	local name=$1
	shift
	[[ $name =~ ^[A-Za-z0-9._-]+$ ]] || die "${FUNCNAME[1]}: '$name' is no name for a program"
	! started "$name" || die "${FUNCNAME[1]}: a program is called '$name' already"
	word "$*"
	program_command[$name]=$*
	# The file is there before anybody reads it.
	: >"$evidence/$name.out"
	: >"$evidence/$name.err"
	if [[ -n ${events-} ]]; then
		note program "$name"
		set -- "$@" --events "$evidence/pieces/$name.jsonl"
	fi
	{
		leave_keyboards
		exec "$@"
	} <"${input:-/dev/null}" >"$evidence/$name.out" 2>"$evidence/$name.err" {evidence_lock}<&- {shelf_lock}>&- &
	program_pid[$name]=$!
	program_names+=("$name")
}

# ended NAME: whether it has; its exit status is then in program_status.
ended() {
	[[ -z ${program_status[$1]-} ]] || return 0
	! kill -0 "${program_pid[$1]}" 2>/dev/null || return 1
	wait "${program_pid[$1]}" 2>/dev/null
	program_status[$1]=$?
}

# said NAME TEXT [STREAM]: whether TEXT stands in what NAME wrote; STREAM is out or err.
said() {
	local text=''
	IFS= read -r -d '' text <"$evidence/$1.${3:-out}" || true
	[[ $text == *"$2"* ]]
}

# said_line NAME GLOB: whether a line matches, as in said_line red 'answer *'.
said_line() {
	local line
	while IFS= read -r line; do
		# shellcheck disable=SC2053 # a pattern on purpose
		[[ $line == $2 ]] && return 0
	done <"$evidence/$1.out"
	return 1
}

ready_or_ended() {
	said "$1" "$2" || said "$1" "$2" err || ended "$1"
}

# await NAME TEXT: returns when NAME has said TEXT, or has ended without it, which the next words must explain.
await() {
	local patience=$start_patience
	wait_until ready_or_ended "$1" "$2" ||
		die "${program_command[$1]}: neither '$2' nor its end within $((patience / 1000000)) s"
	said "$1" "$2" || said "$1" "$2" err || failed_start[$1]=yes
}

# start_listener NAME IP:PORT [option…]: returns when it listens, or has failed to.
start_listener() {
	arguments 2 99 "NAME IP:PORT [option…]" "$@"
	local ip port events=yes
	split "$2"
	launch "$1" "$programs/listener" "$port" "$ip" "${@:3}"
	listener_names+=("$1")
	await "$1" "listening local="
}

# start_connector NAME LOCAL_IP:PORT REMOTE_IP:PORT [MESSAGE] [option…]: returns when it is established, or has
# failed to be.
start_connector() {
	arguments 3 99 "NAME LOCAL_IP:PORT REMOTE_IP:PORT [MESSAGE] [option…]" "$@"
	local ip port events=yes
	split "$2"
	local -a command=("$programs/connector" "$ip" "$port")
	split "$3"
	launch "$1" "${command[@]}" "$ip" "$port" "${@:4}"
	await "$1" "established local="
}

# named_until NAME [--until TEXT] [argument…]: sets name, until and rest.
named_until() {
	name=$1 until='' rest=("${@:2}")
	[[ ${rest[0]-} == --until ]] || return 0
	until=${rest[1]-} rest=("${rest[@]:2}")
}

# start_program NAME [--until TEXT] -- COMMAND…: anybody's program; with --until it returns when TEXT was written.
start_program() {
	arguments 3 99 "NAME [--until TEXT] -- COMMAND…" "$@"
	local name until
	local -a rest
	named_until "$@"
	set -- "${rest[@]}"
	[[ ${1-} == -- && $# -ge 2 ]] || die "start_program needs NAME [--until TEXT] -- COMMAND…"
	shift
	command -v "$1" >/dev/null || die "start_program: no program '$1' on this machine"
	# A session of its own, so that its children can be ended with it; and bash starts background commands deaf to
	# SIGINT, which ours take up again by themselves.
	launch "$name" setsid env --default-signal=INT,QUIT "$@"
	[[ -z $until ]] || await "$name" "$until"
}

# signal_program NAME SIGNAL: to the program and to what it started.
signal_program() {
	kill -s "$2" -- "-${program_pid[$1]}" 2>/dev/null || kill -s "$2" -- "${program_pid[$1]}" 2>/dev/null
}

# send_signal NAME SIGNAL, as in send_signal one USR2.
send_signal() {
	arguments 2 2 "NAME SIGNAL" "$@"
	known send_signal "$1"
	word send_signal "$@"
	! ended "$1" || die "send_signal: $1 has ended, with status ${program_status[$1]}"
	signal_program "$1" "$2" || die "send_signal: $2 is no signal for $1"
}

# stop NAME: SIGTERM, and returns when it has ended.
stop() {
	arguments 1 1 "NAME" "$@"
	known stop "$1"
	word stop "$1"
	ended "$1" || signal_program "$1" TERM
	wait_until ended "$1" || die "stop: $1 has not ended within $PATIENCE s"
}

# expect_echo NAME TEXT: the remote side answered TEXT.
expect_echo() {
	arguments 2 2 "NAME TEXT" "$@"
	known expect_echo "$1"
	expectation expect_echo "$@"
	in_language '%s is answered "%s"' "$@"
	check_said "$1" "a line: answer … text=\"$2\"" said_answer "$1" "$2"
}

# check_said NAME EXPECTED COMMAND…: that NAME says what COMMAND looks for; phrase is what that means.
check_said() {
	local held=0
	wait_until "${@:3}" || held=1
	check $held "$phrase" "$2" heard "$1"
}

said_answer() {
	local text=${2//\\/\\\\}
	text=${text//\"/\\\"}
	local line
	while IFS= read -r line; do
		[[ $line == 'answer '*" text=\"$text\""* ]] && found_line=$line && return 0
	done <"$evidence/$1.out"
	return 1
}

# expect_line NAME TEXT: somebody's program wrote a line with TEXT in it.
expect_line() {
	arguments 2 2 "NAME TEXT" "$@"
	known expect_line "$1"
	expectation expect_line "$@"
	in_language '%s writes "%s"' "$@"
	found_line="$2"
	check_said "$1" "\"$2\" on its standard output" said "$1" "$2"
}

# expect_lines NAME TEXT TEXT…: lines with these texts, in this order, whatever stands between them.
expect_lines() {
	arguments 3 99 "NAME TEXT TEXT…" "$@"
	known expect_lines "$1"
	expectation expect_lines "$@"
	in_language '%s writes, in this order: %s' "$1" "${*:2}"
	printf -v found_line '%s\n' "${@:2}"
	check_said "$1" "these lines in this order: ${*:2}" said_in_order "$@"
}

# said_in_order NAME TEXT…
said_in_order() {
	local line
	local -a rest=("${@:2}")
	while IFS= read -r line; do
		[[ $line != *"${rest[0]}"* ]] || rest=("${rest[@]:1}")
		((${#rest[@]} > 0)) || return 0
	done <"$evidence/$1.out"
	return 1
}

# expect_accepted NAME LOCAL REMOTE: this listener, and not another one, took the connection.
expect_accepted() {
	arguments 3 3 "NAME LOCAL REMOTE" "$@"
	known expect_accepted "$1"
	expectation expect_accepted "$@"
	in_language '%s accepts %s <- %s' "$@"
	found_line="accepted local=$2 remote=$3"
	check_said "$1" "a line: $found_line" said "$1" "$found_line"$'\n'
}

expect_bind_error() { expect_call_error bind "$@"; }
expect_listen_error() { expect_call_error listen "$@"; }
expect_connect_error() { expect_call_error connect "$@"; }

# expect_call_error CALL NAME ERRNO: the program ended with status 1 and named this call and this errno.
expect_call_error() {
	local call=$1
	shift
	(($# == 2)) || die "expect_${call}_error needs NAME ERRNO, not $# arguments: $*"
	known "expect_${call}_error" "$1"
	word "expect_${call}_error" "$@"
	unset "failed_start[$1]"
	check_call_error "$1: $call $2" "$1" "$call" "$2"
}

# check_call_error DESCRIPTION NAME CALL ERRNO
check_call_error() {
	local first='' held=0
	if wait_until ended "$2"; then
		IFS= read -r first <"$evidence/$2.err" || true
	fi
	[[ ${program_status[$2]-} == 1 && $first =~ ^[^\ ]+:\ $3\ .*:\ $4(\ |$) ]] || held=1
	found_line="exit ${program_status[$2]-}: $first"
	check $held "$1" "exit 1 and: … $3 …: $4 …" heard "$2"
}

# Sets seen to how a program ended and what it said, for whoever expected something else.
heard() {
	local -a out err
	mapfile -t out <"$evidence/$1.out"
	mapfile -t err <"$evidence/$1.err"
	if ended "$1"; then seen=("$1: exit ${program_status[$1]}"); else seen=("$1: runs"); fi
	seen+=("${err[@]:0:12}" "${out[@]: -$((${#out[@]} < 4 ? ${#out[@]} : 4))}")
}

# expectation WORD "$@": what every word does first that takes it for granted that the programs run.
expectation() {
	word "$@"
	no_failed_start
	unchecked="$*"
}

# That nothing has come of the expectation yet is right: `conclude` checks it.
checked_at_the_end() {
	unchecked=''
}

# A program that never came to run makes the rest meaningless: say which and why, and leave.
no_failed_start() {
	((${#failed_start[@]} > 0)) || return 0
	local name
	for name in "${program_names[@]}"; do
		[[ -z ${failed_start[$name]-} ]] ||
			fail "$name is started" "${program_command[$name]}" heard "$name"
	done
	advise
	exit 1
}

advise() {
	if [[ -z $outside_pid ]]; then
		tap "# NAMESPACE=host: $FIRST and $SECOND must be addresses of this machine (ip -br addr), and the ports"
		tap "# above free on them: fourtuple sockets --port PORT says who holds one, and TIME-WAIT lasts a minute."
	elif [[ -n ${ADDRESSES-} ]]; then
		tap "# A namespace of its own has the addresses 127.0.0.0/8 and ::1 only: NAMESPACE=host for others."
	fi
}

# Ends all that was started, the listeners first: who closes first keeps TIME-WAIT, and a listener starts beside it
# while a source port would be taken for a minute.
end_programs() {
	[[ -z $programs_ended ]] || return 0
	programs_ended=yes
	local patience=2000000
	end_all TERM "${listener_names[@]}" || true
	# For who is killed has not said all: a busy machine is no reason.
	patience=20000000
	end_all TERM "${program_names[@]}" || end_all KILL "${program_names[@]}" ||
		say "# still there: ${program_names[*]}"
}

# end_all SIGNAL NAME…: whether they end of it.
end_all() {
	local name
	for name in "${@:2}"; do
		ended "$name" || signal_program "$name" "$1"
	done
	wait_until all_ended "${@:2}"
}

all_ended() {
	local name
	for name; do
		ended "$name" || return 1
	done
}

# hide_segments NAME: from now on no segment arrives at the TCP sockets that NAME has open, and none is answered.
hide_segments() {
	arguments 1 1 "NAME" "$@"
	known hide_segments "$1"
	word hide_segments "$1"
	local reason
	reason=$("$programs/fourtuple" hide "${program_pid[$1]}" 2>&1) || die "hide_segments: ${reason%%$'\n'*}"
}
