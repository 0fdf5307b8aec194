# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# Programs that somebody types to: talk, and the relay between two of them.

# The descriptor that feeds each talk's standard input.
declare -A keyboard=()

# start_relay NAME IP:PORT [option…]: our `relay`; returns when it listens, or has failed to.
start_relay() {
	arguments 2 99 "NAME IP:PORT [option…]" "$@"
	local ip port events=yes
	split "$2"
	launch "$1" "$programs/relay" "$port" "$ip" "${@:3}"
	listener_names+=("$1")
	await "$1" "listening local="
}

# start_talk NAME [--until TEXT] [argument…]: our `talk`, with a keyboard that type_line types on; with --until it returns
# when it has said TEXT, or has ended.
start_talk() {
	arguments 1 99 "NAME [--until TEXT] [argument…]" "$@"
	local name until input=$evidence/pieces/$1.input events=yes
	local -a rest
	named_until "$@"
	mkfifo "$input" || die "start_talk: no pipe for the keyboard of $name"
	# For reading too, so that neither end waits for the other.
	local typing
	exec {typing}<>"$input"
	keyboard[$name]=$typing
	launch "$name" "$programs/talk" "${rest[@]}"
	[[ -z $until ]] || await "$name" "$until"
}

# type_line NAME TEXT: a line at the keyboard of NAME.
type_line() {
	arguments 2 2 "NAME TEXT" "$@"
	known type_line "$1"
	word type_line "$@"
	[[ -n ${keyboard[$1]-} ]] || die "type_line: $1 has no keyboard, or its input has ended"
	printf '%s\n' "$2" >&"${keyboard[$1]}"
}

# end_input NAME: the end of what is typed, as Ctrl-D.
end_input() {
	arguments 1 1 "NAME" "$@"
	known end_input "$1"
	word end_input "$1"
	[[ -n ${keyboard[$1]-} ]] || die "end_input: $1 has no keyboard, or its input has ended"
	local typing=${keyboard[$1]}
	exec {typing}>&-
	unset "keyboard[$1]"
}

# In a program that was started: no keyboard of another is held open by it.
leave_keyboards() {
	local typing
	for typing in "${keyboard[@]}"; do exec {typing}>&-; done
}

# expect_end NAME STATUS: the program ends by itself, with this exit status.
expect_end() {
	arguments 2 2 "NAME STATUS" "$@"
	known expect_end "$1"
	expectation expect_end "$@"
	local held=0
	{ wait_until ended "$1" && [[ ${program_status[$1]} == "$2" ]]; } || held=1
	found_line="exit ${program_status[$1]-}"
	in_language "%s ends with status %s" "$@"
	check $held "$phrase" "exit $2" heard "$1"
}
