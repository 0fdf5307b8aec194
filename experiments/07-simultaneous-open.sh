#!/usr/bin/env bash
# Can two sockets connect to each other, with no listener?
#
#   left   127.0.0.1:3001 -> 127.0.0.1:3002
#   right  127.0.0.1:3002 -> 127.0.0.1:3001
#
# Yes, and to one connection, when a SYN meets a SYN: a socket in SYN-SENT takes it for a simultaneous open and goes to
# SYN-RECEIVED (RFC 9293 section 3.5, figure 8). On one host the first SYN would always be there before the second
# connect(2), and be refused; so left is made deaf to the refusal.
source "$(dirname "$0")/lib/experiment.sh"

experiment "two active opens, no listener"

ask "left's SYN finds nobody and is refused, but left does not hear it. Now right connects to left. It gets" \
	ECONNREFUSED ETIMEDOUT 0
start_perform both --until "left: recv" "
    left: socket
    hide segments R.
    nonblocking on
    bind $FIRST:3001
    connect $FIRST:3002
    right: socket
    bind $FIRST:3002
    connect $FIRST:3001
    left: wait ESTABLISHED
    nonblocking off
    right: send \"hello\"
    left: recv
    pause"
expect_call both "left: connect" EINPROGRESS
expect_call both "right: connect" 0
answer 0

expect_call both "left: wait" 0
expect_call both "left: recv" '5 "hello"'
expect_established $FIRST:3001 $FIRST:3002
expect_established $FIRST:3002 $FIRST:3001
# The refusal, the SYN that meets left in SYN-SENT, and left's answer to it.
expect_packets $FIRST:3001 $FIRST:3002 '>S <R. <S >S. <.'
expect_no_socket LISTEN '*'

conclude
