#!/usr/bin/env bash
# Can two connections to one listener have the same source port?
#
#   red   127.0.0.1:3001 -> 127.0.0.1:3000
#   blue  127.0.0.2:3001 -> 127.0.0.1:3000
#
# Yes, from different source addresses, and no option is needed: bind(2) reserves an address with its port, not
# the port alone (ip(7), "Address format").
source "$(dirname "$0")/lib/experiment.sh"

experiment "one source port, two source addresses"

start_listener one $FIRST:3000
start_connector red $FIRST:3001 $FIRST:3000 hello --reuse-address off --reuse-port off
ask "Neither SO_REUSEADDR nor SO_REUSEPORT is set. blue takes red's source port on another address. It is" \
	ESTABLISHED "refused by bind" "refused by connect"
start_connector blue $SECOND:3001 $FIRST:3000 hello --reuse-address off --reuse-port off

expect_established $FIRST:3001 $FIRST:3000
expect_established $SECOND:3001 $FIRST:3000
answer ESTABLISHED
expect_echo red hello
expect_echo blue hello

# With SO_REUSEADDR and SO_REUSEPORT it is the same.
start_connector green $FIRST:3002 $FIRST:3000 hello
start_connector violet $SECOND:3002 $FIRST:3000 hello

expect_established $FIRST:3002 $FIRST:3000
expect_established $SECOND:3002 $FIRST:3000
expect_echo green hello
expect_echo violet hello

# The wildcard reserves the port on every address.
ask "greedy binds $WILDCARD:3001, while two addresses have that port in use. Which call fails?" bind connect neither
start_connector greedy $WILDCARD:3001 $FIRST:3000 --reuse-address off --reuse-port off
expect_bind_error greedy EADDRINUSE
answer bind

conclude
