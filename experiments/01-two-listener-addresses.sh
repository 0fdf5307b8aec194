#!/usr/bin/env bash
# Can one source port hold two connections that differ only in the remote address?
#
#   red   127.0.0.1:3001 -> 127.0.0.1:3000
#   blue  127.0.0.1:3001 -> 127.0.0.2:3000
#
# Yes. A connection is its four-tuple (RFC 9293 section 4, "connection"), and these differ.
source "$(dirname "$0")/lib/experiment.sh"

experiment "one source port, two listener addresses"

start_listener one $FIRST:3000 # FIRST and SECOND: 127.0.0.1 and 127.0.0.2 unless ADDRESSES says otherwise
start_listener two $SECOND:3000
start_connector red $FIRST:3001 $FIRST:3000 hello
ask "red has $FIRST:3001 and is connected. blue takes the same source port to the other listener. It is" \
	"refused by bind" "refused by connect" ESTABLISHED
start_connector blue $FIRST:3001 $SECOND:3000 hello

expect_established $FIRST:3001 $FIRST:3000
expect_established $FIRST:3001 $SECOND:3000
answer ESTABLISHED
expect_echo red hello
expect_echo blue hello

# The same four-tuple twice: bind still succeeds, connect does not.
ask "twin asks for red's whole four-tuple. Which call fails?" bind connect neither
start_connector twin $FIRST:3001 $FIRST:3000
expect_connect_error twin EADDRNOTAVAIL
answer connect

# Without SO_REUSEADDR and SO_REUSEPORT the clash moves back to bind.
start_connector loner $FIRST:3001 $FIRST:3000 --reuse-address off --reuse-port off
expect_bind_error loner EADDRINUSE

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

conclude
