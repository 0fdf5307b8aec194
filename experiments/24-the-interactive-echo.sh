#!/usr/bin/env bash
# The server answers "Server received: " and what was said. Does it matter to its client how the server waits?
#
#   event loop   127.0.0.1:8888    one thread, one epoll
#   sequential   127.0.0.1:8889    one client at a time
#   thread       127.0.0.1:8890    a thread for each client
#   fork         127.0.0.1:8891    a process for each client
#
# No: all four give the same bytes, to one client. To two at a time it does: the second one of the sequential server waits.
source "$(dirname "$0")/lib/experiment.sh"

experiment "the interactive echo"

port=8888
for model in event-loop sequential thread fork; do
	start_listener $model $FIRST:$port --model $model --reply-prefix "Server received: "
	start_talk $model-test --test --expect "prefix:Server received: " ${FIRST//[][]/} $port
	expect_end $model-test 0
	start_talk $model-client --until "established local=" ${FIRST//[][]/} $port
	type_line $model-client hello
	expect_line $model-client "Server received: hello"
	((++port))
done

ask "Each server has one client, and a second one comes to each. Who is answered?" \
	"all of them" "all but the sequential server's" "the event loop's only"
port=8888
for model in event-loop sequential thread fork; do
	start_talk $model-second --until "established local=" ${FIRST//[][]/} $port
	type_line $model-second hello
	((++port))
done
for model in event-loop thread fork; do
	expect_line $model-second "Server received: hello"
done
expect_backlog $FIRST:8889 1
answer "all but the sequential server's"

end_input sequential-client
expect_end sequential-client 0
expect_line sequential-second "Server received: hello"

conclude
