#!/usr/bin/env bash
# The other side is gone. Do recv, send and poll tell whether it closed or aborted?
#
#   3001 -> 3000   the server closes: FIN
#   3002 -> 3000   the server aborts: RST
#   3003 -> 3000   the server sends its last word, then aborts
#
# They do. After a FIN recv(2) gives 0 as often as it is asked; a first send(2) succeeds, since half a connection is left,
# and draws the RST that makes the next one EPIPE. An RST is told once, as ECONNRESET, by the call that comes first; then
# recv gives 0 and send EPIPE. What had arrived before it can still be read (RFC 9293 section 3.10.4; tcp(7), send(2)).
source "$(dirname "$0")/lib/experiment.sh"

experiment "FIN against RST"

ask "The server has closed. What does the client's next send(2) give?" "all is sent" EPIPE ECONNRESET
perform closed "
    listener: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3000
    listen 1
    client: socket
    bind $FIRST:3001
    connect @listener
    listener: accept as server
    close
    client: poll POLLIN|POLLOUT|POLLRDHUP 1s
    wait CLOSE-WAIT
    recv
    recv
    send \"anybody?\"
    poll POLLERR 1s
    send \"nobody\"
    recv"
expect_call closed "client: poll" "1 POLLIN|POLLOUT|POLLRDHUP"
expect_call closed "client: recv" 0
expect_call closed "client: recv" 0
expect_call closed "client: send" 8
expect_packets $FIRST:3001 $FIRST:3000 '<F. ... >P. <R'
answer "all is sent"
expect_call closed "client: poll" "1 POLLERR|POLLHUP"
expect_call closed "client: send" EPIPE
expect_call closed "client: recv" 0

ask "The server has aborted. The client calls recv(2) twice. What does the second call give?" ECONNRESET 0 ENOTCONN
perform aborted "
    listener: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3000
    listen 1
    client: socket
    bind $FIRST:3002
    connect @listener
    listener: accept as server
    setsockopt SO_LINGER 1 0
    close
    client: poll POLLIN|POLLOUT|POLLRDHUP 1s
    recv
    recv
    send \"nobody\""
expect_call aborted "client: poll" "1 POLLIN|POLLOUT|POLLERR|POLLHUP|POLLRDHUP"
expect_call aborted "client: recv" ECONNRESET
expect_call aborted "client: recv" 0
answer 0
expect_call aborted "client: send" EPIPE
expect_packets $FIRST:3002 $FIRST:3000 '<R.'

perform last-word "
    listener: socket
    setsockopt SO_REUSEADDR 1
    bind $FIRST:3000
    listen 1
    client: socket
    bind $FIRST:3003
    connect @listener
    listener: accept as server
    send \"last word\"
    setsockopt SO_LINGER 1 0
    close
    client: poll POLLERR 1s
    recv
    recv"
expect_call last-word "client: recv" '9 "last word"'
expect_call last-word "client: recv" ECONNRESET

conclude
