#!/usr/bin/env bash
# bind(2) says that the address is in use, and the table of sockets lists nobody. Who has it?
#
#   one  127.0.0.1:3000   bound; it neither listens nor is connected
#   two  127.0.0.1:3000   is refused
#
# A socket that is only bound: it has its address from bind(2) on. /proc/net/tcp lists those that listen or are connected
# and no others (proc_net_tcp in the kernel's documentation), as does ss of Debian 12. Asked for this state, inet_diag
# lists it (Linux 6.8), and fourtuple why names the process.
source "$(dirname "$0")/lib/experiment.sh"

experiment "bound but invisible"

# shellcheck disable=SC2016 # for awk: 3000 is 0BB8
count='$2 ~ /:0BB8$/ { rows++ } END { print "rows", rows + 0 }'

start_perform one --until bind "
    socket
    bind $FIRST:3000
    pause
    listen 1
    pause"

ask "One socket is bound to $FIRST:3000, and no more. Another one's bind(2) gives" 0 EADDRINUSE
perform two "
    socket
    bind $FIRST:3000"
expect_call two bind EADDRINUSE
answer EADDRINUSE

ask "/proc/net/tcp and /proc/net/tcp6 list it" "with state CLOSE" "not at all"
start_program before -- awk "$count" /proc/net/tcp /proc/net/tcp6
expect_line before "rows 0"
answer "not at all"

if "$programs/fourtuple" sockets --state bound >/dev/null 2>&1; then
	expect_state BOUND $FIRST:3000
	start_program why -- "$programs/fourtuple" why $FIRST:3000
	expect_line why "BOUND $FIRST:3000 pid="
	expect_line why "another port: 3001 [tried out]"
else
	leave_out "BOUND: the kernel shows it from Linux 6.8 on"
fi

go_on one
expect_state LISTEN $FIRST:3000
start_program after -- awk "$count" /proc/net/tcp /proc/net/tcp6
expect_line after "rows 1"

conclude
