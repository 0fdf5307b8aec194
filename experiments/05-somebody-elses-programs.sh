#!/usr/bin/env bash
# Does it matter whose programs hold the two ends?
#
#   red    127.0.0.1:3001 -> 127.0.0.1:3000    our connector, our listener
#   blue   127.0.0.1:3001 -> 127.0.0.2:3000    our connector, an echo server in Python or Perl
#   green  127.0.0.1:*    -> 127.0.0.1:3000    bash, our listener
#
# No. The kernel knows sockets and their options, not programs; and green, which names no source port, is given
# an ephemeral one (ip(7), ip_local_port_range).
source "$(dirname "$0")/lib/experiment.sh"

experiment "somebody else's server and client"

start_listener ours $FIRST:3000
start_connector red $FIRST:3001 $FIRST:3000 hello

python='
import socket, sys
server = socket.create_server((sys.argv[1], 3000), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready", flush=True)
connection, _ = server.accept()
while received := connection.recv(4096):
    connection.sendall(received)
'
# shellcheck disable=SC2016 # Perl's variables
perl='
use IO::Socket::IP;
my $server = IO::Socket::IP->new(LocalAddr => $ARGV[0], LocalPort => 3000, Listen => 1, ReuseAddr => 1) or die $@;
$| = print "ready\n";
my $connection = $server->accept;
while (sysread $connection, my $received, 4096) { syswrite $connection, $received }
'
case $(first_installed python3 perl) in
python3) start_program theirs --until ready -- python3 -c "$python" ${SECOND//[][]/} ;;
perl) start_program theirs --until ready -- perl -e "$perl" ${SECOND//[][]/} ;;
*) leave_out "blue: neither python3 nor perl is installed" ;;
esac
if started theirs; then
	ask "red has $FIRST:3001 to our listener. blue takes it to theirs, which knows nothing of ours. It is" \
		"refused by bind" "refused by connect" ESTABLISHED
	start_connector blue $FIRST:3001 $SECOND:3000 hello
	expect_established $FIRST:3001 $SECOND:3000
	expect_echo blue hello
	answer ESTABLISHED
fi

# shellcheck disable=SC2016 # for the other bash
start_program green -- bash -c 'exec 3<>"/dev/tcp/$1/3000" && echo hello >&3 && cat <&3' bash ${FIRST//[][]/}

expect_established $FIRST:3001 $FIRST:3000
expect_echo red hello
expect_established $FIRST:* $FIRST:3000
expect_line green hello

conclude
