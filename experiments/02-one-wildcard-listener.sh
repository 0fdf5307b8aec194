#!/usr/bin/env bash
# Can one source port hold two connections to one listener, reached at two of its addresses?
#
#   red   127.0.0.1:3001 -> 127.0.0.1:3000
#   blue  127.0.0.1:3001 -> 127.0.0.2:3000    one listener, on 0.0.0.0:3000
#
# Yes. The wildcard stands in the listener's address only; each connection has the address that was called
# (RFC 9293 section 3.9.1.1), so the four-tuples differ.
source "$(dirname "$0")/lib/experiment.sh"

experiment "one source port, one wildcard listener"

start_listener any $WILDCARD:3000
start_connector red $FIRST:3001 $FIRST:3000 hello
ask "red has $FIRST:3001 to $FIRST:3000. blue takes the same source port to the same listener, at $SECOND:3000. It is" \
	"refused by bind" ESTABLISHED "refused by connect"
start_connector blue $FIRST:3001 $SECOND:3000 hello

expect_established $FIRST:3001 $FIRST:3000
expect_established $FIRST:3001 $SECOND:3000
answer ESTABLISHED
expect_accepted any $FIRST:3000 $FIRST:3001
expect_accepted any $SECOND:3000 $FIRST:3001
expect_echo red hello
expect_echo blue hello
expect_no_socket ESTABLISHED $WILDCARD:3000

# Both connectors with the same options, from the same address: what does the second one get?
expect_second <<TABLE
    options        from         first to     second to     second
    neither        $FIRST:3011  $FIRST:3000  $SECOND:3000  bind EADDRINUSE
    reuse-address  $FIRST:3012  $FIRST:3000  $SECOND:3000  ESTABLISHED
    reuse-port     $FIRST:3013  $FIRST:3000  $SECOND:3000  ESTABLISHED
    both           $FIRST:3014  $FIRST:3000  $SECOND:3000  ESTABLISHED
    neither        $FIRST:3015  $FIRST:3000  $FIRST:3000   bind EADDRINUSE
    reuse-address  $FIRST:3016  $FIRST:3000  $FIRST:3000   connect EADDRNOTAVAIL
    reuse-port     $FIRST:3017  $FIRST:3000  $FIRST:3000   connect EADDRNOTAVAIL
    both           $FIRST:3018  $FIRST:3000  $FIRST:3000   connect EADDRNOTAVAIL
TABLE

# A second listener on one specific address beside the wildcard takes the connections to that address.
ask "special listens on $SECOND:3000, beside the listener on $WILDCARD:3000. Who gets a connection to $SECOND:3000?" \
	"the wildcard" special "one of the two, by hash"
start_listener special $SECOND:3000
start_connector green $FIRST:3002 $SECOND:3000
start_connector violet $FIRST:3002 $FIRST:3000
expect_accepted special $SECOND:3000 $FIRST:3002
answer special
expect_accepted any $FIRST:3000 $FIRST:3002

conclude
