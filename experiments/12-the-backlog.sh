#!/usr/bin/env bash
# How many connections does listen(2) with a backlog of 2 hold while nobody accepts?
#
#   a  127.0.0.1:3001 -> 127.0.0.1:3000
#   b  127.0.0.1:3002 -> 127.0.0.1:3000
#   c  127.0.0.1:3003 -> 127.0.0.1:3000
#   d  127.0.0.1:3004 -> 127.0.0.1:3000
#
# Three, one more than was asked for: the queue is full when it holds more than the backlog (listen(2); Linux,
# sk_acceptq_is_full). The next SYN is dropped without a word, and the client sends it again after a second
# (RFC 6298 section 2).
source "$(dirname "$0")/lib/experiment.sh"

experiment "more clients than the backlog"

# Else d sends its last SYN after 35 s, and on a busy machine nobody may have looked by then.
[[ -z $outside_pid ]] || set_sysctl net.ipv4.tcp_syn_retries 12

ask "listen(2), then four clients connect and nobody accepts. How many of them are ESTABLISHED?" 1 2 3 4
start_perform all --until "d: wait SYN-SENT" "
    listener: socket
    bind $FIRST:3000
    listen 2
    a: socket
    bind $FIRST:3001
    connect @listener
    b: socket
    bind $FIRST:3002
    connect @listener
    c: socket
    bind $FIRST:3003
    connect @listener
    d: socket
    nonblocking on
    bind $FIRST:3004
    connect @listener
    wait SYN-SENT
    pause
    listener: accept as first
    d: wait ESTABLISHED
    pause"
expect_call all "c: connect" 0
expect_call all "d: connect" EINPROGRESS
expect_established $FIRST:3001 $FIRST:3000
expect_established $FIRST:3002 $FIRST:3000
expect_established $FIRST:3003 $FIRST:3000
expect_established $FIRST:3000 $FIRST:3003
expect_state SYN-SENT $FIRST:3004 $FIRST:3000
answer 3

ask "Now one is accepted. When is d ESTABLISHED?" "at once" "when it sends its SYN again" never
go_on all
expect_call all "d: wait ESTABLISHED" 0
# No answer to the first SYN: nothing stands between the two.
expect_packets $FIRST:3004 $FIRST:3000 '>S >S <S. >.'
answer "when it sends its SYN again"

conclude
