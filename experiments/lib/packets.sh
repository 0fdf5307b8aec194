# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# What the wire says: the segments that were captured, flags spelled as tcpdump does.

# A segment each, as in "1700000000000000 127.0.0.1:3001 127.0.0.1:3000 S.".
segments=()
# The "FROM TO FLAGS" that `conclude` must find absent.
absent_packets=()

# Takes in what was captured.
read_segments() {
	mapfile -t segments < <(read_fields capture segment time_us from to flags)
}

# expect_packets FROM TO FLAGS: these segments between the two endpoints, one after the other, as in 'S S. .'. With > or <
# before its flags a segment goes from FROM to TO or back; `...` is any number of segments. A port may be `*`.
expect_packets() {
	arguments 3 3 "FROM TO FLAGS" "$@"
	expectation expect_packets "$@"
	local text="packets $1 <> $2: $3"
	[[ -z $no_packets ]] || { leave_out "$text: $no_packets" && return; }
	local held=0 pattern between
	flags_pattern "$3"
	wait_until captured_flags "$@" || held=1
	check $held "$text" "$3" describe_between
}

# flags_pattern FLAGS: sets pattern to what matches their like in the words that `between` has.
flags_pattern() {
	local -a words
	local word direction
	read -r -a words <<<"$1"
	((${#words[@]} > 0)) || die "${FUNCNAME[1]}: no flags, such as 'S S. .'"
	pattern='* '
	for word in "${words[@]}"; do
		direction='[<>]'
		[[ $word != [\<\>]* ]] || direction=${word:0:1} word=${word:1}
		if [[ $word == ... ]]; then
			pattern+='*'
		elif [[ $word =~ ^[SFRPUEW]*\.?$ && -n $word ]]; then
			pattern+="$direction$word "
		else
			die "${FUNCNAME[1]}: '$word' are no flags, such as S S. . P. F. R"
		fi
	done
	pattern+='*'
}

captured_flags() {
	read_segments
	flags_between "$1" "$2"
	# shellcheck disable=SC2053 # a pattern on purpose
	[[ $between == $pattern ]]
}

# flags_between FROM TO: sets between to what was sent between the two, as in " >S <S. >. ".
flags_between() {
	local segment _ from to flags
	between=' '
	for segment in "${segments[@]}"; do
		read -r _ from to flags <<<"$segment"
		if matches "$1" "$from" && matches "$2" "$to"; then
			between+=">$flags "
		elif matches "$2" "$from" && matches "$1" "$to"; then
			between+="<$flags "
		fi
	done
}

describe_between() {
	seen=("${between:1}")
	[[ -n ${between// /} ]] || seen=("none")
}

# expect_no_packet FROM TO [FLAGS]: none from FROM to TO until `conclude`, which checks it; with FLAGS none like these.
expect_no_packet() {
	arguments 2 3 "FROM TO [FLAGS]" "$@"
	expectation expect_no_packet "$@"
	checked_at_the_end
	[[ ${3:-.} =~ ^[SFRPUEW]*\.?$ ]] || die "expect_no_packet: '$3' are no flags, such as S S. . P. F. R"
	absent_packets+=("$1 $2 ${3:-*}")
}

check_absent_packets() {
	local fact from to flags text
	read_segments
	for fact in "${absent_packets[@]}"; do
		read -r from to flags <<<"$fact"
		text="no packet $from > $to"
		[[ $flags == '*' ]] || text+=": $flags"
		if [[ -n $no_packets ]]; then
			leave_out "$text: $no_packets"
		elif was_sent "$from" "$to" "$flags"; then
			fail "$text" "none" describe_found
		else
			pass "$text" "none" describe_absence
		fi
	done
}

# was_sent FROM TO FLAGS: whether such a segment was, before `conclude`; sets found to it.
was_sent() {
	local segment time from to flags
	for segment in "${segments[@]}"; do
		read -r time from to flags <<<"$segment"
		if ((time < concluding)) && matches "$1" "$from" && matches "$2" "$to" && [[ $3 == '*' || $3 == "$flags" ]]; then
			found="$from > $to $flags"
			return 0
		fi
	done
	return 1
}
