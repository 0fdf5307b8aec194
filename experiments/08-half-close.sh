#!/usr/bin/env bash
# What can still be said after one side has said its last word?
#
#   client  127.0.0.1:3001 -> 127.0.0.1:3000    shutdown(SHUT_WR)
#   server  127.0.0.1:3000 -> 127.0.0.1:3001
#
# Everything, in the other direction. A FIN ends one of the two (RFC 9293 section 3.6; shutdown(2)): the client is in
# FIN-WAIT-2 and the server in CLOSE-WAIT as long as the server likes, for Linux sets no limit while a descriptor is open.
source "$(dirname "$0")/lib/experiment.sh"

experiment "half-close"

ask "The server reads the end of the stream, then sends \"later\". What does the client get?" nothing ECONNRESET later
start_perform both --until "client: recv" "
    listener: socket
    bind $FIRST:3000
    listen 1
    client: socket
    bind $FIRST:3001
    connect @listener
    listener: accept as server
    client: send \"question\"
    shutdown WR
    server: recv
    recv
    send \"later\"
    client: recv
    send \"too late\"
    pause
    server: close
    client: recv
    wait TIME-WAIT"
expect_call both "server: recv" '8 "question"'
expect_call both "server: recv" 0
expect_call both "client: recv" '5 "later"'
answer later

expect_call both "client: send" EPIPE
expect_state FIN-WAIT-2 $FIRST:3001 $FIRST:3000
expect_state CLOSE-WAIT $FIRST:3000 $FIRST:3001
expect_packets $FIRST:3001 $FIRST:3000 '>F. ... <P.'

ask "Now the server closes too. Which side keeps TIME-WAIT?" client server neither
go_on both
expect_call both "client: recv" 0
expect_state TIME-WAIT $FIRST:3001 $FIRST:3000
expect_packets $FIRST:3001 $FIRST:3000 '>F. ... <F. >.'
answer client

conclude
