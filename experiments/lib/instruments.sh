# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# What runs beside every experiment: the capture of its packets and the watch on its sockets.

# Names of those that run, and their process ids; why there is no capture, where there is none.
declare -A instrument_pid=()
no_packets=''
# When `conclude` began, in microseconds of Unix time.
concluding=''

# Both are there before the first program, so that they miss nothing.
start_instruments() {
	local -a ports=()
	# In the caller's own network, nothing but the ports that experiments use.
	[[ -n $outside_pid ]] || mapfile -t ports < <(printf -- '--port\n%d\n' {3000..3018})
	launch_instrument watch "$evidence/sockets.jsonl" sockets --watch --format json "${ports[@]}"
	launch_instrument capture "$evidence/pieces/capture.jsonl" packets --write "$evidence/packets.pcapng" --format json \
		"${ports[@]}"
	await_instrument watch "$evidence/sockets.jsonl" watching || die "fourtuple sockets --watch: $complaint"
	await_instrument capture "$evidence/pieces/capture.jsonl" capturing || {
		no_packets=$complaint
		rm -f "$evidence/packets.pcapng"
		tap "# without packets: $no_packets"
	}
	exec {captured}<"$evidence/pieces/capture.jsonl"
}

# launch_instrument NAME FILE ARGUMENT…: `fourtuple ARGUMENT…`, its lines in FILE.
launch_instrument() {
	: >"$2"
	"$programs/fourtuple" "${@:3}" </dev/null >"$2" 2>"$evidence/pieces/$1.err" {evidence_lock}<&- {shelf_lock}>&- &
	instrument_pid[$1]=$!
}

# await_instrument NAME FILE EVENT: returns when it is ready; fails, and sets complaint, when it ended instead.
await_instrument() {
	wait_until instrument_ready_or_ended "$@" || die "$1: not ready within $PATIENCE s"
	! instrument_ended "$1" || {
		complaint=$(<"$evidence/pieces/$1.err")
		complaint=${complaint%%$'\n'*}
		unset "instrument_pid[$1]"
		return 1
	}
}

instrument_ready_or_ended() {
	local line=''
	IFS= read -r line <"$2" || true
	[[ $line == *"\"event\":\"$3\""* ]] || instrument_ended "$1"
}

instrument_ended() {
	! kill -0 "${instrument_pid[$1]}" 2>/dev/null
}

# Ends them, after what they have still to write.
stop_instruments() {
	local name
	for name in "${!instrument_pid[@]}"; do
		kill -s TERM "${instrument_pid[$name]}" 2>/dev/null
	done
	for name in "${!instrument_pid[@]}"; do
		wait "${instrument_pid[$name]}" 2>/dev/null
	done
	instrument_pid=()
}
