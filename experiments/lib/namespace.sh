# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# The same script again, in a network namespace of its own; or here, when NAMESPACE=host.

# The process id that `fourtuple isolate --join` takes, as seen from outside; empty in the caller's own network.
outside_pid=

# Re-executes the script in a new namespace and returns only when the script is already in one, or when
# NAMESPACE=host. The variable says from which namespace the script came, so one left over in somebody's
# environment cannot pass the script off as isolated while it runs in the host's network.
enter_namespace() {
	case ${NAMESPACE-} in
	host) return ;;
	'') ;;
	*) die "NAMESPACE=$NAMESPACE: 'host' for the caller's own network, or unset for a namespace" ;;
	esac
	local here
	here=$(readlink /proc/self/ns/net) || skip "no /proc/self/ns/net here: NAMESPACE=host needs no namespace"
	if [[ ${EXPERIMENT_OUTSIDE-} == *" $script" ]]; then
		local outside
		read -r outside_pid outside _ <<<"$EXPERIMENT_OUTSIDE"
		unset EXPERIMENT_OUTSIDE
		[[ $outside != "$here" ]] || die "still in the network namespace $here; nothing was run"
		return
	fi
	can_isolate
	heed_signals
	# exec, so that a signal meets `fourtuple isolate` itself and its exit status is ours.
	EXPERIMENT_OUTSIDE="$$ $here $script" exec "$programs/fourtuple" isolate -- "$BASH" "$script"
}

can_isolate() {
	local reason status=0
	reason=$("$programs/fourtuple" isolate -- true 2>&1) || status=$?
	case $status in
	0) ;;
	125) skip "no namespace: $reason" ;;
	*) die "fourtuple isolate -- true: exit $status: $reason" ;;
	esac
}
