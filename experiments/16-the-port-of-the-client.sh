#!/usr/bin/env bash
# Start one client three times, and the server shows another port each time. Why do the ports change?
#
#   first   127.0.0.1:? -> 127.0.0.1:3737
#   second  127.0.0.1:? -> 127.0.0.1:3737
#   third   127.0.0.1:? -> 127.0.0.1:3737
#
# The client does not call bind(2), so connect(2) picks an ephemeral port, and another one each time (RFC 6056; ip(7),
# ip_local_port_range). The port of the last run would be of no use: its four-tuple is in TIME-WAIT.
source "$(dirname "$0")/lib/experiment.sh"

experiment "the port of the client"

start_listener server $FIRST:3737 --model sequential --reply ack
ask "The same client runs three times. Its port is" "the same each time" "another one each time"
for run in first second third; do
	perform $run "
        client: socket
        connect $FIRST:3737
        getsockname
        send \"hello\n\"
        recv
        close
        wait TIME-WAIT"
	expect_call $run "client: recv" '5 "Ack!\n"'
done
expect_own_ports first second third
answer "another one each time"
expect_state TIME-WAIT "$FIRST:*" $FIRST:3737
explain "Why do the ports change?" \
	"The client names no port, so the kernel picks one in connect(2). The ports used last are in TIME-WAIT for a minute."

ask "Now the client binds port 4001 before it connects. The server sees port" 4001 "one that the kernel picks"
perform bound "
    client: socket
    bind $FIRST:4001
    connect $FIRST:3737
    send \"hello\n\"
    recv"
expect_call bound "client: recv" '5 "Ack!\n"'
expect_accepted server $FIRST:3737 $FIRST:4001
answer 4001
explain "Can it have the same port each time?" \
	"Yes, with bind(2) before connect(2). A client seldom needs to: any port makes its four-tuple one of its own."

conclude
