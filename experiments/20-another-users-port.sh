#!/usr/bin/env bash
# Another user's listener has a port, with SO_REUSEPORT. Can a newcomer with SO_REUSEPORT share it?
#
#   theirs  127.0.0.1:3000   LISTEN, SO_REUSEPORT, user 1
#   ours    127.0.0.1:3000   SO_REUSEPORT, user 0
#
# No: then anybody could take a share of somebody else's connections. bind(2) asks whose both sockets are, and
# says EADDRINUSE (socket(7), SO_REUSEPORT). In TIME-WAIT nothing is left to take, and the user does not matter.
source "$(dirname "$0")/lib/experiment.sh"

experiment "another user's port"

require_another_user

start_perform theirs --until listen "
    setfsuid 1
    socket
    setsockopt SO_REUSEPORT 1
    bind $FIRST:3000
    listen 1
    pause"
expect_state LISTEN $FIRST:3000

ask "user 1 listens on $FIRST:3000, with SO_REUSEPORT. What does user 0's bind(2) give, with SO_REUSEPORT too?" \
	0 EACCES EADDRINUSE
perform ours "
    socket
    setsockopt SO_REUSEPORT 1
    bind $FIRST:3000"
expect_call ours bind EADDRINUSE
answer EADDRINUSE

# The wildcard address is no way around, but another address is another matter.
perform wildcard "
    socket
    setsockopt SO_REUSEPORT 1
    bind $WILDCARD:3000"
expect_call wildcard bind EADDRINUSE
perform beside "
    socket
    bind $SECOND:3000
    listen 1"
expect_call beside listen 0

# It is the user and not the process.
perform friend "
    setfsuid 1
    socket
    setsockopt SO_REUSEPORT 1
    bind $FIRST:3000
    listen 1"
expect_call friend listen 0

ask "user 1 has left, but for a TIME-WAIT at $FIRST:3001, with SO_REUSEPORT. What does user 0's bind(2) give?" \
	0 EACCES EADDRINUSE
perform left "
    setfsuid 1
    listener: socket
    setsockopt SO_REUSEPORT 1
    bind $FIRST:3001
    listen 1
    client: socket
    connect @listener
    listener: accept as connection
    close
    client: recv
    close
    connection: wait TIME-WAIT
    listener: close
    setfsuid 0
    ours: socket
    setsockopt SO_REUSEPORT 1
    bind $FIRST:3001
    listen 1"
expect_call left "ours: bind" 0
expect_state TIME-WAIT $FIRST:3001
answer 0

conclude
