# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# What the kernel's socket table says. Every table that was asked for stands in the record, sockets.txt.

# The last table, one row a socket, and the last that held every connection expected so far.
table=() best_table=() last_text=''
# The four-tuples expected so far, and the sockets that `conclude` must find absent.
expected_tuples=() absent=()
# Every "STATE LOCAL REMOTE" that a table or a program's line showed.
declare -A record=()

ask_kernel() {
	local text row state local_address remote_address
	text=$("$programs/fourtuple" sockets --no-header 2>"$evidence/pieces/sockets.err" </dev/null) ||
		die "fourtuple sockets: $(<"$evidence/pieces/sockets.err")"
	[[ $text != "$last_text" ]] || return 0
	last_text=$text
	local since=$(((${EPOCHREALTIME//[!0-9]/} - started) / 1000))
	say "# after $since ms" "$text" >>"$evidence/sockets.txt"
	mapfile -t table <<<"$text"
	for row in "${table[@]}"; do
		read -r state local_address remote_address _ <<<"$row"
		record["$state $local_address $remote_address"]=yes
	done
}

# matches PATTERN ADDRESS: 127.0.0.1:* is any port there, * any address.
matches() {
	[[ $1 == '*' || $1 == "$2" || ($1 == *':*' && ${1%:*} == "${2%:*}") ]]
}

# find_row STATE LOCAL REMOTE ROW…: sets found to the first row that matches; each of the three may be `*`.
find_row() {
	local row state local_address remote_address
	for row in "${@:4}"; do
		read -r state local_address remote_address _ <<<"$row"
		if [[ $1 == '*' || $1 == "$state" ]] && matches "$2" "$local_address" && matches "$3" "$remote_address"; then
			found=$row
			return 0
		fi
	done
	return 1
}

# kernel_shows STATE LOCAL REMOTE: sets found to the row.
kernel_shows() {
	ask_kernel
	find_row "$@" "${table[@]}"
}

# Sets seen to what the last table has of this four-tuple.
describe_socket() {
	local found state local_address remote_address
	seen=("no socket $1 -> $2 in any state")
	find_row '*' "$1" "$2" "${table[@]}" || return 0
	read -r state local_address remote_address _ <<<"$found"
	seen=("$state $local_address -> $remote_address")
}

# name_socket STATE LOCAL REMOTE: sets socket to its name for a reader.
name_socket() {
	socket="$1 $2"
	[[ $3 == '*' ]] || socket+=" -> $3"
}

# expect_established LOCAL REMOTE: the kernel has this connection. A port may be `*`.
expect_established() {
	arguments 2 2 "LOCAL REMOTE" "$@"
	expectation expect_established "$@"
	expected_tuples+=("$1 $2")
	check_state ESTABLISHED "$@"
	keep_best_table
}

# expect_state STATE LOCAL [REMOTE]: the kernel has a socket in this state there.
expect_state() {
	arguments 2 3 "STATE LOCAL [REMOTE]" "$@"
	known_state "$1"
	expectation expect_state "$@"
	check_state "$1" "$2" "${3:-*}"
}

# check_state STATE LOCAL REMOTE
check_state() {
	local held=0 socket found
	used_port[${2##*:}]=yes
	name_socket "$@"
	wait_until kernel_shows "$@" || held=1
	check $held "$socket" "$socket" describe_socket "$2" "$3"
}

# expect_backlog LOCAL COUNT: so many connections wait for accept(2) at this listening socket, its RECV-Q.
expect_backlog() {
	arguments 2 2 "LOCAL COUNT" "$@"
	expectation expect_backlog "$@"
	local held=0 waiting=''
	wait_until queue_holds LISTEN "$1" '*' "$2" || held=1
	found_line="LISTEN $1 RECV-Q $waiting"
	in_language "%s waiting in the backlog of %s" "$2" "$1"
	check $held "$phrase" "LISTEN $1 RECV-Q $2" describe_queue "LISTEN $1"
}

# queue_holds STATE LOCAL REMOTE NUMBER: sets waiting to RECV-Q.
queue_holds() {
	local found
	waiting=''
	kernel_shows "${@:1:3}" || return 1
	read -r _ _ _ waiting _ <<<"$found"
	((waiting == $4))
}

describe_queue() {
	seen=("$1 RECV-Q ${waiting:-: no such socket}")
}

# expect_unread LOCAL REMOTE BYTES: so many bytes have arrived on this connection and wait for recv(2), its RECV-Q.
expect_unread() {
	arguments 3 3 "LOCAL REMOTE BYTES" "$@"
	expectation expect_unread "$@"
	local held=0 waiting=''
	wait_until queue_holds '*' "$@" || held=1
	found_line="$1 $2 RECV-Q $waiting"
	check $held "$3 unread bytes at $1 <- $2" "$1 $2 RECV-Q $3" describe_queue "$1 $2"
}

known_state() {
	case $1 in
	LISTEN | SYN-SENT | SYN-RECEIVED | ESTABLISHED | FIN-WAIT-1 | FIN-WAIT-2 | CLOSE-WAIT | CLOSING) ;;
	LAST-ACK | TIME-WAIT | CLOSED | BOUND) ;;
	*) die "${FUNCNAME[1]}: '$1' is no TCP state (RFC 9293, section 3.3.2)" ;;
	esac
}

keep_best_table() {
	local tuple found
	for tuple in "${expected_tuples[@]}"; do
		find_row ESTABLISHED "${tuple% *}" "${tuple#* }" "${table[@]}" || return 0
	done
	best_table=("${table[@]}")
}

# expect_closed LOCAL REMOTE: this connection was there and is no more; TIME-WAIT may be left of it.
expect_closed() {
	arguments 2 2 "LOCAL REMOTE" "$@"
	expectation expect_closed "$@"
	local held=0 found expected='a connection that was there, and then none but TIME-WAIT'
	record_lines
	find_row '*' "$@" "${!record[@]}" && wait_until kernel_shows_closed "$@" || held=1
	check $held "closed $1 -> $2" "$expected" describe_socket "$@"
}

kernel_shows_closed() {
	local row state local_address remote_address
	ask_kernel
	for row in "${table[@]}"; do
		read -r state local_address remote_address _ <<<"$row"
		[[ $state == TIME-WAIT ]] || ! matches "$1" "$local_address" || ! matches "$2" "$remote_address" || return 1
	done
}

# expect_no_socket STATE LOCAL [REMOTE]: none at any moment; STATE may be `any`. Checked by `conclude`.
expect_no_socket() {
	arguments 2 3 "STATE LOCAL [REMOTE]" "$@"
	[[ $1 == any ]] || known_state "$1"
	expectation expect_no_socket "$@"
	checked_at_the_end
	absent+=("${1/#any/*} $2 ${3:-*}")
}

# Adds to the record what the watch saw and our programs told, so that nothing between two looks at the table is missed.
record_lines() {
	local name event local_address remote_address line
	while IFS= read -r line; do
		record["$line"]=yes
	done < <(read_fields watch socket to local remote)
	for name in "${program_names[@]}"; do
		while read -r event local_address remote_address _; do
			case $event in
			established | accepted) record["ESTABLISHED ${local_address#local=} ${remote_address#remote=}"]=yes ;;
			listening) record["LISTEN ${local_address#local=} *"]=yes ;;
			bound) record["BOUND ${local_address#local=} *"]=yes ;;
			esac
		done < <(cat "$evidence/$name".{out,err})
	done
}

check_absent() {
	local fact state local_address remote_address found socket
	for fact in "${absent[@]}"; do
		read -r state local_address remote_address <<<"$fact"
		name_socket "${state/#\*/socket}" "$local_address" "$remote_address"
		if find_row "$state" "$local_address" "$remote_address" "${!record[@]}"; then
			fail "never $socket" "none at any moment" describe_found
		else
			pass "never $socket" "none at any moment" describe_absence
		fi
	done
}

describe_found() {
	seen=("$found")
}

describe_absence() {
	seen=("none")
}

# show_table TABLE SAY [LEAD]: state, addresses and processes of the sockets that concern the experiment.
show_table() {
	local -n rows=$1
	local row line state local_address remote_address processes shown=0
	for row in "${rows[@]}"; do
		read -r state local_address remote_address _ _ _ _ _ _ processes <<<"$row"
		name_processes
		concerns_us "$1" || continue
		((shown++)) || "$2" "${3-}STATE        LOCAL                  REMOTE                 PROCESSES"
		printf -v line '%-12s %-22s %-22s %s' "$state" "$local_address" "$remote_address" "$processes"
		"$2" "${3-}$line"
	done
}

# Puts the experiment's name for each program before what the kernel knows of it, as in `red: connector(13)`.
name_processes() {
	local name
	for name in "${program_names[@]}"; do
		[[ $processes != *"(${program_pid[$name]})"* ]] || processes="$name: $processes"
	done
}

# In a namespace every socket concerns the experiment. In the caller's own network, those of its programs do; and where
# the table is to show what stands in their way, those of others on the same ports.
concerns_us() {
	[[ -n $outside_pid || $processes == *': '* ]] && return
	[[ $1 != best_table && -n ${used_port[${local_address##*:}]-}${used_port[${remote_address##*:}]-} ]]
}
