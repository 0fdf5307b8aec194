#!/usr/bin/env bash
# Can one source port hold two connections that differ only in the remote port?
#
#   red   127.0.0.1:3001 -> 127.0.0.1:3000
#   blue  127.0.0.1:3001 -> 127.0.0.1:3005
#
# Yes. The remote port is a quarter of the four-tuple like the others (RFC 9293 section 4, "connection").
source "$(dirname "$0")/lib/experiment.sh"

experiment "one source port, two listener ports"

start_listener one $FIRST:3000
start_listener two $FIRST:3005
start_connector red $FIRST:3001 $FIRST:3000 hello
ask "red has $FIRST:3001 to port 3000. blue takes the same source port to port 3005 of the same address. It is" \
	"refused by connect" ESTABLISHED "refused by bind"
start_connector blue $FIRST:3001 $FIRST:3005 hello

expect_established $FIRST:3001 $FIRST:3000
expect_established $FIRST:3001 $FIRST:3005
answer ESTABLISHED
expect_echo red hello
expect_echo blue hello

# Both connectors with the same options, from the same address: what does the second one get?
expect_second <<TABLE
    options        from         first to     second to    second
    neither        $FIRST:3011  $FIRST:3000  $FIRST:3005  bind EADDRINUSE
    reuse-address  $FIRST:3012  $FIRST:3000  $FIRST:3005  ESTABLISHED
    reuse-port     $FIRST:3013  $FIRST:3000  $FIRST:3005  ESTABLISHED
    both           $FIRST:3014  $FIRST:3000  $FIRST:3005  ESTABLISHED
    neither        $FIRST:3015  $FIRST:3000  $FIRST:3000  bind EADDRINUSE
    reuse-address  $FIRST:3016  $FIRST:3000  $FIRST:3000  connect EADDRNOTAVAIL
    reuse-port     $FIRST:3017  $FIRST:3000  $FIRST:3000  connect EADDRNOTAVAIL
    both           $FIRST:3018  $FIRST:3000  $FIRST:3000  connect EADDRNOTAVAIL
TABLE

conclude
