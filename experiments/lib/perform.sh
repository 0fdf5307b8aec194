# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# Socket calls exactly as written, by `fourtuple perform`, where the order of the calls is what counts.

# How many lines of each performer the expectations have gone through.
declare -A lines_read=()
# The "NAME NUMBER" of every line that an expectation was about.
declare -A expected_line=()
performers=()

# perform NAME STEPS: makes these calls, and returns when the last one has.
perform() {
	arguments 2 2 "NAME STEPS" "$@"
	# Less than the word itself, so that the performer is who says which call does not return.
	launch_performer "$1" $((patience / 2)) "$2"
	wait_until ended "$1" || die "perform: $1 has not ended within $PATIENCE s; its last call: $(tail -n 1 "$evidence/$1.out")"
	((program_status[$1] == 0)) || die "$(<"$evidence/$1.err")"
}

# start_perform NAME [--until CALL] STEPS: the same, but returns when this call has returned, or at once. At the end of the
# experiment a call that still waits is given up. `pause` without a time lasts until `go_on`.
start_perform() {
	arguments 2 4 "NAME [--until CALL] STEPS" "$@"
	local name until
	local -a rest
	named_until "$@"
	((${#rest[@]} == 1)) || die "start_perform needs NAME [--until CALL] STEPS"
	# A call may wait while the words that follow wait for something else.
	launch_performer "$name" $((patience * 10)) "${rest[0]}"
	[[ -z $until ]] || wait_until performed_or_ended "$name" "$until" ||
		die "start_perform: $name has not come to '$until' within $PATIENCE s"
	no_mistake "$name"
}

# go_on NAME: ends the pause that NAME has come to, or will come to.
go_on() {
	arguments 1 1 "NAME" "$@"
	known go_on "$1"
	word go_on "$1"
	! ended "$1" || die "go_on: $1 has ended, with status ${program_status[$1]}"
	signal_program "$1" INT
}

# launch_performer NAME MICROSECONDS STEPS: no call may block for longer.
launch_performer() {
	local events=yes
	performers+=("$1")
	launch "$1" "$programs/fourtuple" perform --patience "$(($2 / 1000 + 1))ms" "$3"
}

performed_or_ended() {
	local line
	while IFS= read -r line; do
		! is_call "$2" "$line" || return 0
	done <"$evidence/$1.out"
	ended "$1"
}

# A mistake in the steps is one in the script.
no_mistake() {
	! ended "$1" || ((program_status[$1] != 2)) || die "$(<"$evidence/$1.err")"
}

# is_call CALL LINE: whether the line is about this call: `recv` is any, `a: recv` one of the socket a.
is_call() {
	local call=${2%% = *}
	[[ $1 == *': '* ]] || call=${call#*: }
	[[ $call == "$1" || $call == "$1 "* ]]
}

# expect_call NAME CALL RESULT: the next such call of NAME returned RESULT, an errno or what it gives: a number, or all that
# stands behind `=`, or `*` for any that is no failure. Next after the one that was expected before.
expect_call() {
	arguments 3 3 "NAME CALL RESULT" "$@"
	known expect_call "$1"
	expectation expect_call "$@"
	local held=0 text="$1: $2 = $3" called='' number=0
	wait_until next_call "$1" "$2" || held=1
	if ((held == 0)); then
		lines_read[$1]=$number
		expected_line["$1 $number"]=yes
		found_line=$called
		gave "${called#* = }" "$3" || held=1
	fi
	check $held "$text" "$2 = $3" seen_call "$1"
}

# next_call NAME CALL: sets called to it, and number to how many lines there are up to it; fails while there is none.
next_call() {
	number=0
	while IFS= read -r called; do
		((++number > ${lines_read[$1]:-0})) || continue
		! is_call "$2" "$called" || return 0
	done <"$evidence/$1.out"
	called=''
	return 1
}

# gave SHOWN RESULT
gave() {
	[[ $1 == "$2" || $1 == "$2 "* || $1 == "-1 $2" || ($2 == '*' && $1 != -1* && $1 != \?*) ]]
}

seen_call() {
	if [[ -n $called ]]; then seen=("$called"); else heard "$1"; fi
}

# A call that failed while nobody expected it makes the rest mean something else than it says: a bind, say, after which
# connect takes any port.
check_unexpected_calls() {
	local name called number
	for name in "${performers[@]}"; do
		number=0
		while IFS= read -r called; do
			((++number))
			[[ ($called != *' = -1 '* && $called != *' = ? (still '*) || $called == 'pause = '* || -n ${expected_line["$name $number"]-} ]] ||
				fail "$name: no call fails that is not expected to" "expect_call $name '${called%% = *}' …" seen_call "$name"
		done <"$evidence/$name.out"
	done
}

# own_address NAME: sets called to what its getsockname gave.
own_address() {
	called=$(sed -n '/getsockname = 0 /{s/.* = 0 //p;q}' "$evidence/$1.out")
	[[ -n $called ]]
}

# expect_own_ports NAME…: getsockname gave each of these performers another address.
expect_own_ports() {
	arguments 2 99 "NAME NAME…" "$@"
	expectation expect_own_ports "$@"
	local name called held=0 taken=' ' IFS=' '
	local -a seen=()
	for name; do
		known expect_own_ports "$name"
		wait_until own_address "$name" || held=1
		[[ -n $called && $taken != *" $called "* ]] || held=1
		taken+="$called "
		seen+=("$name: $called")
	done
	in_language "each run of %s has a port of its own" "$*"
	check $held "$phrase" "another address each time" :
}
