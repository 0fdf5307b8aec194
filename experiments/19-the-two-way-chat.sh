#!/usr/bin/env bash
# Two people talk over one connection, and either ends it with a word. Can the one who called be called back at once on the
# same port, while the old connection is in TIME-WAIT?
#
#   server  127.0.0.1:5000    talk --listen 5000
#   client  127.0.0.1:* -> 127.0.0.1:5000
#
# Yes, with SO_REUSEADDR on the old socket and the new one, which talk sets; no with --reuse-address off: EADDRINUSE from
# bind(2) until TIME-WAIT is over (socket(7), SO_REUSEADDR). The one who ends the talk closes first and keeps TIME-WAIT.
source "$(dirname "$0")/lib/experiment.sh"

experiment "the two-way chat"

# chat NAME [option…]: the server NAME listens with these options, a client calls, both have said something.
chat() {
	start_talk "$1" --until listening --listen 5000 ${FIRST//[][]/} --bye revoir "${@:2}"
	start_talk "$1-caller" --until "established local=" --bye revoir ${FIRST//[][]/} 5000
	type_line "$1-caller" "good day"
	expect_line "$1" "good day"
	type_line "$1" "good day to you"
	expect_line "$1-caller" "good day to you"
}

chat first
type_line first-caller revoirez
expect_line first revoirez
type_line first-caller revoir
expect_end first-caller 0
expect_end first 0

ask "Now the server ends the talk and is started again at once, with SO_REUSEADDR. bind(2) gives" 0 EADDRINUSE
chat second
end_input second
expect_end second 0
expect_end second-caller 0
expect_state TIME-WAIT $FIRST:5000
chat third
answer 0
type_line third revoir
expect_end third 0

ask "And without SO_REUSEADDR on the new socket?" 0 EADDRINUSE
start_talk fourth --listen 5000 ${FIRST//[][]/} --reuse-address off
expect_bind_error fourth EADDRINUSE
answer EADDRINUSE

conclude
