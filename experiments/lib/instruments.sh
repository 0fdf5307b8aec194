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
	# In the caller's own network, nothing but the ports that the script names.
	[[ -n $outside_pid ]] || mapfile -t ports < <(grep -oE ':[1-9][0-9]{0,4}\>' "$script" | sort -u | sed 's/:/--port\n/')
	launch_instrument watch sockets --watch --format json "${ports[@]}"
	launch_instrument capture packets --write "$evidence/packets.pcapng" --format json "${ports[@]}"
	await_instrument watch watching || die "fourtuple sockets --watch: $complaint"
	await_instrument capture capturing || {
		no_packets=$complaint
		rm -f "$evidence/packets.pcapng"
		tap "# without packets: $no_packets"
	}
}

# launch_instrument NAME ARGUMENT…: `fourtuple ARGUMENT…`, its lines in pieces/NAME.jsonl.
launch_instrument() {
	: >"$evidence/pieces/$1.jsonl"
	"$programs/fourtuple" "${@:2}" </dev/null >"$evidence/pieces/$1.jsonl" 2>"$evidence/pieces/$1.err" {evidence_lock}<&- {shelf_lock}>&- &
	instrument_pid[$1]=$!
}

# await_instrument NAME EVENT: returns when it is ready; fails, and sets complaint, when it ended instead.
await_instrument() {
	local patience=$start_patience
	wait_until instrument_ready_or_ended "$@" || die "$1: not ready within $((patience / 1000000)) s"
	! instrument_ended "$1" || {
		complaint=$(<"$evidence/pieces/$1.err")
		complaint=${complaint%%$'\n'*}
		unset "instrument_pid[$1]"
		return 1
	}
}

instrument_ready_or_ended() {
	local line=''
	IFS= read -r line <"$evidence/pieces/$1.jsonl" || true
	[[ $line == *"\"event\":\"$2\""* ]] || instrument_ended "$1"
}

instrument_ended() {
	! kill -0 "${instrument_pid[$1]}" 2>/dev/null
}

# Ends them, after what they have still to write.
stop_instruments() {
	((${#instrument_pid[@]} > 0)) || return 0
	local name
	for name in "${!instrument_pid[@]}"; do
		kill -s TERM "${instrument_pid[$name]}" 2>/dev/null
	done
	for name in "${!instrument_pid[@]}"; do
		wait "${instrument_pid[$name]}" 2>/dev/null
	done
	instrument_pid=()
	local dropped
	dropped=$(read_fields capture captured dropped)
	((${dropped:-0} == 0)) || tap "# the kernel had no room for $dropped packets"
}

# read_fields NAME EVENT KEY…: the values of these keys, a line for each event of this kind that the instrument has told of.
read_fields() {
	"$programs/fourtuple" fields "${@:2}" <"$evidence/pieces/$1.jsonl"
}
