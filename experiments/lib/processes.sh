# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# Which processes a program consists of.

# expect_children NAME COUNT: the program has so many child processes, a zombie being one too. Shows them, with the command
# that does.
expect_children() {
	arguments 2 2 "NAME COUNT" "$@"
	known expect_children "$1"
	expectation expect_children "$@"
	local held=0
	local -a children=()
	wait_until has_children "${program_pid[$1]}" "$2" || held=1
	found_line="children of ${program_pid[$1]}: ${children[*]:-none}"
	in_language "%s has %s children" "$@"
	check $held "$phrase" "$2 children of ${program_pid[$1]}" seen_children
	show_processes "${program_pid[$1]}" "${children[@]}"
}

# has_children PID COUNT: sets children.
has_children() {
	local text=''
	read -r text <"/proc/$1/task/$1/children" || true
	read -r -a children <<<"$text"
	((${#children[@]} == $2))
}

seen_children() {
	seen=("children: ${children[*]:-none}")
}

# show_processes PID…: the tree of them as ps(1) draws it, and how it was asked; nothing where there is no such ps.
show_processes() {
	local IFS=, line text
	local -a asked=(ps --forest -o 'pid,ppid,stat,comm' -p "$*")
	IFS=$' \t\n'
	text=$("${asked[@]}" 2>/dev/null) || return 0
	tap "# \$ ${asked[*]}"
	while IFS= read -r line; do tap "#   $line"; done <<<"$text"
}
