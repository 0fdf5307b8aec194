#!/usr/bin/env bash
# Can a socket connect to itself?
#
#   127.0.0.1:3001 -> 127.0.0.1:3001    one socket, nobody listens
#
# Yes. Its SYN comes back to it in SYN-SENT, and a SYN there is a simultaneous open (RFC 9293 section 3.5 and
# figure 8), which needs no listener; here both sides of it are the same socket. It reads what it writes. So a client
# that retries a port of the ephemeral range, where nobody listens, may some day be given this very port and succeed.
source "$(dirname "$0")/lib/experiment.sh"

experiment "one socket, both ends"

ask "A socket bound to $FIRST:3001 connects to $FIRST:3001. What does connect(2) give?" ECONNREFUSED EADDRINUSE 0
start_perform self --until recv "
    socket
    bind $FIRST:3001
    connect $FIRST:3001
    getpeername
    send \"to myself\"
    recv
    pause"
expect_call self connect 0
answer 0

expect_call self getpeername "0 $FIRST:3001"
expect_call self recv '9 "to myself"'
expect_established $FIRST:3001 $FIRST:3001
expect_packets $FIRST:3001 $FIRST:3001 'S S.'
expect_no_socket LISTEN '*'

# By accident: no bind, and the one ephemeral port that is left is the one that is called.
start_perform accident --until getsockname "
    socket
    setsockopt IP_LOCAL_PORT_RANGE 40000-40000
    connect $FIRST:40000
    getsockname
    pause"
expect_call accident connect 0
expect_established $FIRST:40000 $FIRST:40000

conclude
