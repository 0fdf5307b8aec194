#!/usr/bin/env bash
# A client closed first. Can it have the same four-tuple again while that is in TIME-WAIT?
#
#   127.0.0.1:3001 -> 127.0.0.1:3000    TIME-WAIT
#   127.0.0.1:3001 -> 127.0.0.1:3000    the same again
#
# With TCP timestamps, at once: they tell the old connection's segments from the new one's (RFC 6191; RFC 9293 section
# 3.10.7.4, TIME-WAIT). Without them connect(2) gives EADDRNOTAVAIL. In both, bind(2) takes SO_REUSEADDR on the old
# socket and on the new one; else it gives EADDRINUSE.
source "$(dirname "$0")/lib/experiment.sh"

experiment "the same four-tuple, out of TIME-WAIT"

# again NAME PORT REUSE: a connection from PORT that ends in TIME-WAIT, and the same again.
again() {
	perform "$1" "
        listener: socket
        setsockopt SO_REUSEADDR 1
        bind $FIRST:3000
        listen 2
        old: socket
        setsockopt SO_REUSEADDR $3
        bind $FIRST:$2
        connect @listener
        listener: accept as server
        old: close
        server: recv
        close
        old: wait TIME-WAIT
        new: socket
        setsockopt SO_REUSEADDR $3
        bind $FIRST:$2
        connect @listener"
}

ask "Timestamps on, SO_REUSEADDR on both sockets. What does the new one's connect(2) give?" EADDRNOTAVAIL 0
again with 3001 1
expect_call with "old: wait" 0
expect_call with "new: bind" 0
expect_call with "new: connect" 0
expect_packets $FIRST:3001 $FIRST:3000 '>S <S. >. ... >S <S. >.'
answer 0

again without-the-option 3002 0
expect_call without-the-option "old: wait" 0
expect_call without-the-option "new: bind" EADDRINUSE

set_sysctl net.ipv4.tcp_timestamps 0
ask "Timestamps off, SO_REUSEADDR on both sockets. Which call fails?" bind connect neither
again off 3003 1
expect_call off "old: wait" 0
expect_call off "new: bind" 0
expect_call off "new: connect" EADDRNOTAVAIL
expect_state TIME-WAIT $FIRST:3003 $FIRST:3000
answer connect

conclude
