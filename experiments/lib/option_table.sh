# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# Which options let two connectors share a source port, and which call says no where they do not.

# expect_second <<TABLE: a check for each row of
#
#   options        from            first to        second to       second
#   reuse-address  127.0.0.1:3012  127.0.0.1:3000  127.0.0.2:3000  ESTABLISHED
#
# Two connectors, both with these options (neither, reuse-address, reuse-port, both) and from this address: the first
# is ESTABLISHED, and the second is what the last column says, ESTABLISHED or a call and its errno. Each row needs a
# source port of its own, so that nothing left of one row meets the next. A row that begins with `options` is a head.
expect_second() {
	arguments 0 0 "no argument but a table <<TABLE" "$@"
	no_failed_start
	local options from first second result before=$checks
	while read -r options from first second result; do
		[[ -n $options && $options != options ]] || continue
		[[ -n $result ]] || die "expect_second: a row needs five columns: $options $from $first $second"
		expect_row "$options" "$from" "$first" "$second" "$result"
	done
	((checks > before)) || die "expect_second: the table has no rows"
}

# expect_row OPTIONS FROM FIRST SECOND RESULT
expect_row() {
	local -a options
	chosen_options "$1"
	local found name="$1-${2##*:}" does="$1: $2 -> $3, then -> $4: $5"
	start_connector "$name-first" "$2" "$3" "${options[@]}"
	start_connector "$name-second" "$2" "$4" "${options[@]}"
	unset "failed_start[$name-first]" "failed_start[$name-second]"
	if ! wait_until kernel_shows ESTABLISHED "$2" "$3"; then
		fail "$does" "the first ESTABLISHED" heard "$name-first"
	elif [[ $5 == ESTABLISHED ]]; then
		local held=0
		wait_until kernel_shows ESTABLISHED "$2" "$4" || held=1
		check $held "$does" "the second ESTABLISHED" heard "$name-second"
	else
		check_call_error "$does" "$name-second" "${5% *}" "${5#* }"
	fi
}

# Sets options to the arguments for one of the four names.
chosen_options() {
	case $1 in
	neither) options=(--reuse-address off --reuse-port off) ;;
	reuse-address) options=(--reuse-address on --reuse-port off) ;;
	reuse-port) options=(--reuse-address off --reuse-port on) ;;
	both) options=(--reuse-address on --reuse-port on) ;;
	*) die "expect_second: '$1' is none of neither, reuse-address, reuse-port, both" ;;
	esac
}
