#!/usr/bin/env bash
# A server forks a process for each client. Do three clients at once work, and do you see the processes?
#
#   one    127.0.0.1:4001 -> 127.0.0.1:3737
#   two    127.0.0.1:4002 -> 127.0.0.1:3737
#   three  127.0.0.1:4003 -> 127.0.0.1:3737
#   four   127.0.0.1:4004 -> 127.0.0.1:3737    one more than the server takes
#
# All three are answered, each by a child of its own: while one child waits in recv(2), the parent is back in accept(2)
# (fork(2)). A child ends with its client, and the parent reaps it (wait(2)).
source "$(dirname "$0")/lib/experiment.sh"

experiment "a process for each client"

start_listener server $FIRST:3737 --model fork --max-connections 3 --reply ack
expect_children server 0
ask "Three clients are connected at once. How many processes does the server consist of?" 1 3 4
start_perform clients --until "three: recv" "
    one: socket
    bind $FIRST:4001
    connect $FIRST:3737
    two: socket
    bind $FIRST:4002
    connect $FIRST:3737
    three: socket
    bind $FIRST:4003
    connect $FIRST:3737
    one: send \"one\n\"
    two: send \"two\n\"
    one: recv
    two: recv
    three: send \"three\n\"
    recv
    pause
    four: socket
    bind $FIRST:4004
    connect $FIRST:3737
    recv
    close
    one: close
    pause
    five: socket
    bind $FIRST:4005
    connect $FIRST:3737
    send \"five\n\"
    recv
    pause"
expect_call clients "one: recv" '5 "Ack!\n"'
expect_call clients "two: recv" '5 "Ack!\n"'
expect_call clients "three: recv" '5 "Ack!\n"'
explain "Do three clients at once work?" \
	"Yes. Nobody waits for anybody: each is answered by a process of its own."

expect_children server 3
answer 4
explain "Do you see the processes?" \
	"Yes, with ps --forest: the parent, which is in accept(2) again, and below it a child for each client."

# One more than it takes is told so by the end of the stream.
go_on clients
expect_call clients "four: recv" 0
expect_children server 2
go_on clients
expect_call clients "five: recv" '5 "Ack!\n"'
expect_children server 3
explain "What becomes of a child whose client leaves?" \
	"It ends, the parent reaps it, so no zombie stays, and there is room for the next client."

conclude
