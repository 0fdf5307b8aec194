# shellcheck shell=bash
# The vocabulary of the experiments. An experiment sources this file, says `experiment TITLE`, then starts
# programs, expects facts, and ends with `conclude`. Every word and its arguments: experiments/README.md.
#
#   lib/experiment.sh   experiment, conclude, require_*; where the programs, the addresses and the evidence are
#   lib/namespace.sh    the same script again, in a network namespace of its own
#   lib/verdict.sh      one TAP line a check; leaving early; the exit status
#   lib/evidence.sh     the bundle: notes for its JSON, written under a temporary name, published when whole
#   lib/instruments.sh  the capture and the watch that run beside every experiment
#   lib/programs.sh     start_*, stop, send_signal, hide_segments and what the programs said
#   lib/perform.sh      perform, start_perform, go_on, expect_call, expect_own_ports
#   lib/kernel.sh       what the kernel's socket table says
#   lib/packets.sh      what the wire says
#   lib/predict.sh      ask, answer: the reader commits first, the kernel grades
#   lib/language.sh     explain; a lesson speaks the reader's language
#   lib/conversation.sh start_talk, start_relay, type_line, end_input, expect_end
#   lib/processes.sh    expect_children
#   lib/option_table.sh which pairs of options let two connectors share a source port
#
# Environment: NAMESPACE=host, ADDRESSES='A B', STEP=1, PATIENCE=SECONDS, REQUIRE_ALL=1, PROGRAMS=DIR,
# EVIDENCE=DIR, PREDICT=1, ANSWERS=FILE, NO_COLOR=1.

set -u
# An unquoted [::1]:3000 is an address here, never a pattern for file names.
set -f

script=$0
script_name=$(basename "$0" .sh)
lib=${BASH_SOURCE[0]%/*}
root=$(cd "$lib/../.." && pwd)
programs=${PROGRAMS:-$root/out}
# Anybody may say `connector` in start_program and get ours.
PATH=$programs:$PATH

source "$lib/verdict.sh"
source "$lib/namespace.sh"
source "$lib/evidence.sh"
source "$lib/instruments.sh"
source "$lib/programs.sh"
source "$lib/perform.sh"
source "$lib/kernel.sh"
source "$lib/packets.sh"
source "$lib/predict.sh"
source "$lib/language.sh"
source "$lib/conversation.sh"
source "$lib/processes.sh"
source "$lib/option_table.sh"

# The first line of the header names the interpreter; paragraphs are apart by a bare `#`. The first asks, the
# last answers, what stands between is the picture.
read_header() {
	local line paragraph=0
	local -a paragraphs=('')
	while IFS= read -r line && [[ $line == '#'* ]]; do
		case $line in
		'#!'* | '# shellcheck '*) ;;
		'#') paragraphs[++paragraph]='' ;;
		*) paragraphs[paragraph]+="${paragraphs[paragraph]:+$'\n'}${line#\# }" ;;
		esac
	done <"$script"
	question=${paragraphs[0]} picture='' answer=''
	((paragraph > 0)) || return 0
	answer=${paragraphs[paragraph]}
	local middle
	for middle in "${paragraphs[@]:1:paragraph-1}"; do
		picture+="${picture:+$'\n\n'}$middle"
	done
}

# The picture is drawn with the usual two addresses; show the ones in use.
show_addresses_in_use() {
	picture=${picture//127.0.0.1/$'\1'}
	picture=${picture//127.0.0.2/$'\2'}
	picture=${picture//$'\1'/$FIRST}
	picture=${picture//$'\2'/$SECOND}
}

# FIRST, SECOND and WILDCARD, IPv6 in brackets, so that `$FIRST:3000` is an address and its port.
choose_addresses() {
	local -a chosen
	read -r -a chosen <<<"${ADDRESSES:-127.0.0.1 127.0.0.2}"
	((${#chosen[@]} == 2)) || die "ADDRESSES='$ADDRESSES': needs two addresses, such as '127.0.0.1 192.168.1.20'"
	FIRST=${chosen[0]} SECOND=${chosen[1]} WILDCARD=0.0.0.0
	[[ $FIRST != *:* ]] || FIRST="[$FIRST]" WILDCARD='[::]'
	[[ $SECOND != *:* ]] || SECOND="[$SECOND]"
	# shellcheck disable=SC2034 # for the experiments
	readonly FIRST SECOND WILDCARD
}

# How long a word waits for its fact, in microseconds.
choose_patience() {
	[[ ${PATIENCE:=10} =~ ^([0-9]{1,4})(\.([0-9]{1,6}))?$ ]] ||
		die "PATIENCE=$PATIENCE: needs seconds, such as 10 or 0.5"
	local fraction=${BASH_REMATCH[3]}000000
	patience=$((10#${BASH_REMATCH[1]} * 1000000 + 10#${fraction:0:6}))
	# That a program comes up is no fact of the experiment.
	start_patience=$((patience > 60000000 ? patience : 60000000))
}

# experiment TITLE: says the question and the picture, and makes room for the evidence.
experiment() {
	arguments 1 1 "TITLE" "$@"
	[[ -z $title ]] || die "experiment: this one is '$title' already"
	title=$1
	choose_addresses
	choose_patience
	choose_evidence
	# Read with a timeout, it never answers: a pause.
	exec {pause}<> <(:)
	started=${EPOCHREALTIME//[!0-9]/}
	choose_language
	read_header
	header_in_language
	show_addresses_in_use
	note_experiment
	say "${bold}$title${plain}"
	[[ -z $question ]] || say "$question"
	[[ -z $picture ]] || say "" "$picture" ""
	start_instruments
}

# first_installed PROGRAM…: prints the first that this machine has.
first_installed() {
	local program
	for program; do
		! command -v "$program" >/dev/null || { say "$program" && return; }
	done
}

# require PROGRAM…: skips the experiment where one of them is not installed.
require() {
	arguments 1 99 "PROGRAM…" "$@"
	local program
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# require_another_user: skips the experiment where no socket can be another user's.
require_another_user() {
	arguments 0 0 "no argument" "$@"
	local said
	said=$("$programs/fourtuple" perform 'setfsuid 1' 2>/dev/null </dev/null) || true
	[[ $said != *EPERM* ]] || skip "a socket of another user needs root"
}

# set_sysctl KEY VALUE: from here on, in this namespace. In the caller's own network nothing is changed, and the experiment
# skipped.
set_sysctl() {
	arguments 2 2 "KEY VALUE" "$@"
	word set_sysctl "$@"
	[[ -n $outside_pid ]] || skip "NAMESPACE=host: it would set $1=$2"
	local path=/proc/sys/${1//.//} before
	before=$(<"$path") || die "set_sysctl: this kernel has no $1"
	printf '%s\n' "$2" >"$path" || die "set_sysctl: $1 does not take $2"
	note sysctl "$1" "$before"
}

# conclude: what must be absent from the whole record, the plan and the verdict. The last word of every experiment.
conclude() {
	arguments 0 0 "no argument" "$@"
	word conclude
	no_failed_start
	no_open_question
	no_unsaid_phrase
	# What the ends of our programs bring about is no part of what the experiment did.
	concluding=${EPOCHREALTIME//[!0-9]/}
	((${#absent[@]} == 0)) || { ask_kernel && record_lines; }
	end_programs
	stop_instruments
	check_unexpected_calls
	check_absent
	check_absent_packets
	verdict
}

heed_ignored_signals
on_exit
find_programs
enter_namespace
