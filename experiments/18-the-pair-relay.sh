#!/usr/bin/env bash
# A relay pairs its callers, one event loop for all of them. What happens to the third, and who may write when?
#
#   alice  127.0.0.1:* -> 127.0.0.1:33016  \ a room: alice starts in WRITE,
#   bob    127.0.0.1:* -> 127.0.0.1:33016  / bob in READ
#   carol  127.0.0.1:* -> 127.0.0.1:33016  \ carol waits for a fourth,
#   dave   127.0.0.1:* -> 127.0.0.1:33016  / and it is dave
#
# The third waits until a fourth comes. Each line that is sent swaps the turns, and what is written out of turn is held
# until the turn comes. Whoever says exit ends the room, and the other one is told.
source "$(dirname "$0")/lib/experiment.sh"

experiment "the pair relay"

start_relay relay $FIRST:33016 --verbose
start_talk alice --until "waiting for a partner" --name alice ${FIRST//[][]/} 33016
start_talk bob --until "status READ" --name bob ${FIRST//[][]/} 33016
start_talk carol --until "waiting for a partner" --name carol ${FIRST//[][]/} 33016
# "* connected to bob"; or, where bob says its name late, "* client is now bob".
expect_line alice " bob"
expect_line alice "* status WRITE"
expect_line bob " alice"

ask "bob is in READ and writes all the same. alice gets his line" "at once" "after she has written" never
type_line bob "out of turn"
expect_line relay 'text="out of turn'
type_line alice "my turn"
expect_line bob "alice: my turn"
expect_lines alice "* status WRITE" "* status READ" "bob: out of turn" "* status WRITE"
answer "after she has written"

send_signal relay USR2
expect_line relay "clients=3 rooms=1 waiting=1"

start_talk dave --until "status READ" --name dave ${FIRST//[][]/} 33016
expect_line carol " dave"
send_signal relay USR2
expect_line relay "clients=4 rooms=2 waiting=0"

ask "alice says exit. What becomes of bob?" "he is told and closed" "he waits for another partner" nothing
type_line alice exit
expect_end bob 0
expect_line bob "* alice has left"
expect_lines relay state=disconnected state=disconnected
send_signal relay USR2
expect_line relay "clients=2 rooms=1 waiting=0"
answer "he is told and closed"

send_signal relay USR1
expect_line carol "* the server will disconnect"
expect_line dave "* the server will disconnect"
expect_end carol 0
expect_end dave 0
expect_end relay 0

conclude
