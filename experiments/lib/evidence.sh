# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# The bundle that an experiment leaves: out/evidence/NN-name. While the experiment runs, it is out/evidence/.NN-name.XXXXXX,
# whose pieces `fourtuple bundle` makes into JSON; only then it takes its name. So what has the name is whole.

evidence='' bundle='' shelf=''

# Room on the shelf, out/evidence, or elsewhere where that belongs to somebody else.
choose_evidence() {
	shelf=${EVIDENCE:-$root/out/evidence}
	if ! is_ours; then
		local usual=$shelf
		shelf=$(mktemp -d "${TMPDIR:-/tmp}/fourtuple-evidence.XXXXXX") || die "no directory for the evidence"
		say "# $usual/$script_name is not ours to write: the evidence is in $shelf"
	fi
	bundle=$shelf/$script_name
	exec {shelf_lock}>"$shelf/.lock"
	flock "$shelf_lock"
	sweep
	evidence=$(mktemp -d "$shelf/.$script_name.XXXXXX") || die "no directory for the evidence in $shelf"
	chmod 755 "$evidence"
	exec {evidence_lock}<"$evidence"
	flock "$evidence_lock"
	flock -u "$shelf_lock"
	mkdir "$evidence/pieces"
	: >"$evidence/pieces/notes"
	: >"$evidence/sockets.txt"
}

is_ours() {
	mkdir -p "$shelf" 2>/dev/null && [[ -w $shelf && (! -e $shelf/.lock || -w $shelf/.lock) ]] &&
		[[ ! -e $shelf/$script_name || -w $shelf/$script_name ]]
}

# Removes what runs that were killed have left: nobody holds its lock.
sweep() {
	local left lock
	while IFS= read -r left; do
		{ exec {lock}<"$left"; } 2>/dev/null || continue
		! flock -n "$lock" || rm -rf "$left"
		exec {lock}<&-
	done < <(find "$shelf" -mindepth 1 -maxdepth 1 -type d -name ".$script_name.*")
}

# note KIND FIELD…: a record for `fourtuple bundle`. Fields end with NUL, which no string of a shell can hold.
note() {
	[[ -z $evidence ]] || printf '%s\0' "$#" "$@" >>"$evidence/pieces/notes"
}

note_experiment() {
	local namespace=host
	[[ -z $outside_pid ]] || namespace=own
	note experiment "$script_name" "$title" "${script#"$root/"}" "$namespace" "$started"
	note header "$question" "$picture" "$answer"
}

# note_check DESCRIPTION EXPECTED SEEN OUTCOME
note_check() {
	note check "$@" "${EPOCHREALTIME//[!0-9]/}"
}

note_versions() {
	local program version
	for program in fourtuple listener connector talk relay; do
		version=$(timeout 60 "$programs/$program" --version 2>/dev/null </dev/null) || version=unknown
		note version "$program" "${version##* }"
	done
}

# Makes the bundle of what there is, and gives it its name.
publish_evidence() {
	stop_instruments
	note finished "${EPOCHREALTIME//[!0-9]/}"
	note_versions
	local reason
	if ! reason=$("$programs/fourtuple" bundle "$evidence" 2>&1); then
		say "# no evidence is left: $reason"
		return 1
	fi
	reason=$("$programs/fourtuple" report "$evidence" 2>&1) || say "# no page: ${reason%%$'\n'*}"
	flock "$shelf_lock"
	rm -rf "$bundle"
	mv -T "$evidence" "$bundle"
	flock -u "$shelf_lock"
	evidence=$bundle
}

# Leaves nothing.
discard_evidence() {
	[[ -z $evidence ]] || rm -rf "$evidence"
	evidence=''
}

# The diagram of what happened, where it fits on a screen.
show_diagram() {
	local -a diagram
	mapfile -t diagram < <("$programs/fourtuple" report --text "$evidence" 2>/dev/null)
	((${#diagram[@]} == 0 || ${#diagram[@]} > 40)) || say "" "${diagram[@]}"
}
