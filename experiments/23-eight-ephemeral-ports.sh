#!/usr/bin/env bash
# The kernel may pick from eight ports. How many connections does it give one client to four destinations?
#
#   127.0.0.1:3001 to 3008 -> 127.0.0.1:3000    a
#   127.0.0.1:3001 to 3008 -> 127.0.0.2:3000    b
#   127.0.0.1:3001 to 3008 -> 127.0.0.1:3009    c
#   127.0.0.1:3001 to 3008 -> 127.0.0.2:3009    d
#
# Eight to each, 32, where connect(2) picks the port: it knows the destination, and a connection is its four-tuple
# (RFC 9293 section 4, "connection"). Eight in all where bind(2) picks it, for it knows its own address alone;
# IP_BIND_ADDRESS_NO_PORT leaves the port to connect(2) again (ip(7)). 32 too with ports that the program chooses and
# SO_REUSEADDR. What fails tells which it was: bind EADDRINUSE, or connect EADDRNOTAVAIL.
source "$(dirname "$0")/lib/experiment.sh"

experiment "eight ephemeral ports, four methods, four destinations"

set_sysctl net.ipv4.ip_local_port_range "3001 3008"

destinations="
    a: socket
    bind $FIRST:3000
    listen 8
    b: socket
    bind $SECOND:3000
    listen 8
    c: socket
    bind $FIRST:3009
    listen 8
    d: socket
    bind $SECOND:3009
    listen 8"

# to_each COUNT CALLS: the steps of so many clients to each destination, which make these calls before connect. 300N in
# them is 3001, 3002, …
to_each() {
	local to number
	for to in a b c d; do
		for ((number = 1; number <= $1; number++)); do
			printf '%s\n' "to-$to-$number: socket" "${2//300N/300$number}" "connect @$to"
		done
	done
}

# expect_each COUNT: so many connections have come to each destination.
expect_each() {
	expect_backlog $FIRST:3000 "$1"
	expect_backlog $SECOND:3000 "$1"
	expect_backlog $FIRST:3009 "$1"
	expect_backlog $SECOND:3009 "$1"
}

ask "Clients connect without bind(2). How many get a port?" 8 32
start_perform connect --until "late: connect" "$destinations
    $(to_each 8 '')
    late: socket
    connect @d
    pause"
expect_each 8
expect_call connect "late: connect" EADDRNOTAVAIL
answer 32
stop connect

ask "Each binds $FIRST:0 before it connects. How many get a port?" 8 32
start_perform bind --until "late: bind" "$destinations
    $(to_each 2 "bind $FIRST:0")
    late: socket
    bind $FIRST:0
    pause"
expect_each 2
expect_call bind "late: bind" EADDRINUSE
answer 8
stop bind

ask "The same, each with IP_BIND_ADDRESS_NO_PORT. How many get a port, and what fails then?" \
	"8, bind" "8, connect" "32, bind" "32, connect"
start_perform no-port --until "late: connect" "$destinations
    $(to_each 8 "setsockopt IP_BIND_ADDRESS_NO_PORT 1
        bind $FIRST:0")
    late: socket
    setsockopt IP_BIND_ADDRESS_NO_PORT 1
    bind $FIRST:0
    connect @d
    pause"
expect_each 8
expect_call no-port "late: bind" 0
expect_call no-port "late: connect" EADDRNOTAVAIL
answer "32, connect"
stop no-port

ask "Each binds 3001, 3002, … itself, with SO_REUSEADDR. How many are ESTABLISHED, and what fails then?" \
	"8, bind" "8, connect" "32, bind" "32, connect"
start_perform fixed --until "loner: bind" "$destinations
    $(to_each 8 "setsockopt SO_REUSEADDR 1
        bind $FIRST:300N")
    late: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3001
    connect @d
    loner: socket
    bind $FIRST:3001
    pause"
expect_each 8
expect_call fixed "late: bind" 0
expect_call fixed "late: connect" EADDRNOTAVAIL
answer "32, connect"
# Without the option the program is where bind(2) was.
expect_call fixed "loner: bind" EADDRINUSE

conclude
