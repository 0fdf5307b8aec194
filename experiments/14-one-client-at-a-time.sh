#!/usr/bin/env bash
# A server serves one client at a time. What do you notice when a second one comes? What happens to it, and why?
#
#   first   127.0.0.1:4001 -> 127.0.0.1:3737    is served
#   second  127.0.0.1:4002 -> 127.0.0.1:3737    waits in the backlog
#
# It is connected at once and answered only when the first has left: the kernel completes handshakes and keeps what
# arrives, and the one process that could answer is in recv(2) for another client (listen(2), accept(2)).
source "$(dirname "$0")/lib/experiment.sh"

experiment "one client at a time"

start_listener server $FIRST:3737 --model sequential --reply ack
ask "The first client is served. The second one calls connect(2), which" "waits for the first one to leave" \
	"succeeds at once" "gives ECONNREFUSED"
start_perform clients --until "second: recv" "
    first: socket
    bind $FIRST:4001
    connect $FIRST:3737
    send \"I am the first\n\"
    recv
    second: socket
    bind $FIRST:4002
    connect $FIRST:3737
    send \"I am the second\n\"
    recv MSG_DONTWAIT
    pause
    first: close
    second: recv"
expect_call clients "first: recv" '5 "Ack!\n"'
expect_call clients "second: connect" 0
expect_established $FIRST:4002 $FIRST:3737
expect_established $FIRST:3737 $FIRST:4002
answer "succeeds at once"
explain "What do you notice when a second client comes?" \
	"Nothing: connect(2) succeeds, and both ends of its connection are ESTABLISHED. The kernel did that alone."

expect_call clients "second: send" 16
expect_call clients "second: recv" EAGAIN
expect_backlog $FIRST:3737 1
explain "What happens to it?" \
	"The kernel takes what it sends, and nobody answers: its connection waits in the backlog for an accept(2)."

go_on clients
expect_call clients "first: close" 0
expect_call clients "second: recv" '5 "Ack!\n"'
expect_accepted server $FIRST:3737 $FIRST:4002
expect_backlog $FIRST:3737 0
explain "Why?" \
	"One process that is in recv(2) for the first cannot be in accept(2). When the first leaves, the second is served."

conclude
