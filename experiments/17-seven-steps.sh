#!/usr/bin/env bash
# Seven calls make a server: socket, bind, listen, accept, recv, send, close. What shows that each has been made?
#
#   1 socket   nothing yet: it has no address
#   2 bind     BOUND 127.0.0.1:3737
#   3 listen   LISTEN 127.0.0.1:3737, and from now on the kernel answers SYN
#   4 accept   the connection leaves the backlog
#   5 recv     what waited in the kernel, RECV-Q, is gone
#   6 send     a segment with PSH
#   7 close    a segment with FIN, and TIME-WAIT for whoever sends it first
#
# The socket table and the wire do, from the second call on (RFC 9293 section 3.3.2; bind(2), listen(2), accept(2)). Only
# listen, send and close make the kernel say something to the other side; connect(2) meets the kernel, never accept(2).
source "$(dirname "$0")/lib/experiment.sh"

experiment "seven steps from socket to close"

start_perform server --until "listener: socket" "
    listener: socket
    pause
    bind $FIRST:3737
    pause
    listen 5
    pause
    accept as connection
    pause
    recv
    pause
    send \"Ack!\n\"
    pause
    close"

expect_call server "listener: socket" '*'
go_on server
expect_call server "listener: bind" 0
expect_state BOUND $FIRST:3737

go_on server
expect_call server "listener: listen" 0
expect_state LISTEN $FIRST:3737
ask "The server has called listen, not accept. A client connects and sends a line. It is" \
	"in SYN-SENT" "ESTABLISHED, and its line is in the server's kernel" "ESTABLISHED, and its line waits in its own kernel"
start_perform client --until "client: send" "
    client: socket
    bind $FIRST:4001
    connect $FIRST:3737
    send \"hello\n\"
    recv
    recv
    close
    wait CLOSED"
expect_packets $FIRST:4001 $FIRST:3737 '>S <S. >. >P. <.'
expect_backlog $FIRST:3737 1
expect_unread $FIRST:3737 $FIRST:4001 6
answer "ESTABLISHED, and its line is in the server's kernel"

go_on server
expect_call server "listener: accept" '*'
expect_backlog $FIRST:3737 0
expect_unread $FIRST:3737 $FIRST:4001 6

go_on server
expect_call server "connection: recv" '6 "hello\n"'
expect_unread $FIRST:3737 $FIRST:4001 0

go_on server
expect_call server "connection: send" 5
expect_call client "client: recv" '5 "Ack!\n"'
expect_packets $FIRST:3737 $FIRST:4001 '... >P. ...'

ask "The server closes first. Which side keeps TIME-WAIT?" client server neither
go_on server
expect_call server "connection: close" 0
expect_call client "client: recv" 0
expect_packets $FIRST:3737 $FIRST:4001 '... >F. ... <F. >.'
expect_state TIME-WAIT $FIRST:3737 $FIRST:4001
answer server

conclude
