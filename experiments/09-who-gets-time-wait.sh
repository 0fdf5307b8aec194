#!/usr/bin/env bash
# Who keeps TIME-WAIT?
#
#   3001 -> 3000   the client closes first
#   3002 -> 3000   the server closes first
#   3003 -> 3000   the client aborts: SO_LINGER of no seconds, then close
#   3004 -> 3000   the client closes and leaves something unread
#
# Whoever sent the first FIN, on its side alone, for 60 seconds (RFC 9293 section 3.6 and figure 5, TIME-WAIT; Linux does
# not let you choose). An RST leaves none, and closing with bytes unread sends one, so that the other side learns that
# they were lost (RFC 9293 section 3.6.1; RFC 2525 section 2.17).
source "$(dirname "$0")/lib/experiment.sh"

experiment "four ways to close"

ask "The server closes first, then the client. Which side keeps TIME-WAIT?" client server both neither
perform closing "
    listener: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3000
    listen 8

    a: socket
    bind $FIRST:3001
    connect @listener
    listener: accept as first
    a: close
    first: recv
    close
    a: wait TIME-WAIT

    b: socket
    bind $FIRST:3002
    connect @listener
    listener: accept as second
    close
    b: recv
    close
    second: wait TIME-WAIT"
expect_state TIME-WAIT $FIRST:3001 $FIRST:3000
expect_state TIME-WAIT $FIRST:3000 $FIRST:3002
expect_no_socket TIME-WAIT $FIRST:3000 $FIRST:3001
expect_no_socket TIME-WAIT $FIRST:3002 $FIRST:3000
expect_packets $FIRST:3001 $FIRST:3000 '>F. ... <F. >.'
expect_packets $FIRST:3002 $FIRST:3000 '<F. ... >F. <.'
answer server

ask "The client closes, with something from the server unread. Which side keeps TIME-WAIT?" client server neither
perform aborting "
    listener: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3000
    listen 8

    c: socket
    bind $FIRST:3003
    setsockopt SO_LINGER 1 0
    connect @listener
    listener: accept as third
    c: close
    third: recv

    d: socket
    bind $FIRST:3004
    connect @listener
    listener: accept as fourth
    send \"unread\"
    d: poll POLLIN 1s
    close
    fourth: recv"
expect_call aborting "third: recv" ECONNRESET
expect_call aborting "fourth: recv" ECONNRESET
expect_packets $FIRST:3003 $FIRST:3000 '>R.'
expect_packets $FIRST:3004 $FIRST:3000 '<P. ... >R.'
expect_no_socket TIME-WAIT $FIRST:3003
expect_no_socket TIME-WAIT $FIRST:3004
expect_no_socket TIME-WAIT $FIRST:3000 $FIRST:3003
expect_no_socket TIME-WAIT $FIRST:3000 $FIRST:3004
answer neither

conclude
