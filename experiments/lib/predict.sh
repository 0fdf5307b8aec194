# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# Predict first: with PREDICT=1 the reader commits an answer before the step that gives it, and the kernel grades it.

# The question that waits for its answer, its choices, what the reader said, and the checks made and failed before it.
open_question='' open_choices=() predicted='' checks_before=0 failures_before=0
predicted_count=0 right_count=0

# ask QUESTION CHOICE CHOICE…: silent unless PREDICT=1. The steps follow, then `answer`.
ask() {
	arguments 3 9 "QUESTION CHOICE CHOICE…" "$@"
	word ask "$1"
	no_open_question
	local choice
	words "$1"
	open_question=$phrase open_choices=() predicted='' checks_before=$checks failures_before=$failures
	for choice in "${@:2}"; do
		words "$choice"
		open_choices+=("$phrase")
	done
	[[ -z ${PREDICT-} || ${PREDICT-} == 0 ]] || predict
}

# Reads the reader's choice, by its number or its words, until it is one.
predict() {
	local number reply answers=${ANSWERS:-/dev/tty}
	[[ -n ${answers_open-} ]] || { exec {answers_open}<"$answers"; } 2>/dev/null ||
		die "PREDICT=1 needs a terminal, or ANSWERS=FILE"
	in_language "predict: %s" "$open_question"
	say "" "$bold$phrase$plain"
	for number in "${!open_choices[@]}"; do
		say "  $((number + 1)) ${open_choices[number]}"
	done
	until [[ -n $predicted ]]; do
		words "your answer: "
		printf '%s' "$phrase"
		read_reply
		for number in "${!open_choices[@]}"; do
			[[ $reply != "$((number + 1))" && $reply != "${open_choices[number]}" ]] || predicted=${open_choices[number]}
		done
	done
	[[ $answers == /dev/tty ]] || say "$reply"
}

# Sets reply to a line, without the blanks around it; a signal is heeded meanwhile.
read_reply() {
	local status=142
	while ((status > 128)); do
		heed_signals
		status=0
		reply=$(timed_read 0.2 <&"$answers_open") || status=$?
	done
	((status == 0)) || die "PREDICT=1: end of input"
	read -r reply <<<"$reply"
}

# answer CHOICE: what the kernel did, which the checks since `ask` have shown.
answer() {
	arguments 1 1 "CHOICE" "$@"
	[[ -n $open_question ]] || die "answer: no question waits for it"
	local choice known=''
	words "$1"
	for choice in "${open_choices[@]}"; do
		[[ $choice != "$phrase" ]] || known=yes
	done
	[[ -n $known ]] || die "answer: '$phrase' is none of the choices: ${open_choices[*]}"
	((checks > checks_before)) || die "answer: nothing was checked since \"$open_question\""
	if ((failures > failures_before)); then
		grade ''
	else
		grade "$phrase"
	fi
	open_question=''
}

# grade ANSWER: empty where the kernel did not do what the experiment says it does, which then grades nobody.
grade() {
	note prediction "$open_question" "$predicted" "$1" "${open_choices[@]}"
	[[ -n $predicted ]] || return 0
	if [[ -z $1 ]]; then
		in_language "you said %s: the kernel did something else than this experiment expects, and grades nobody" "$predicted"
		say "$phrase"
		return
	fi
	((++predicted_count))
	if [[ $predicted == "$1" ]]; then
		((++right_count))
		in_language "you said %s: right" "$predicted"
	else
		in_language "you said %s: the kernel says %s" "$predicted" "$1"
	fi
	say "$phrase"
}

no_open_question() {
	[[ -z $open_question ]] || die "no answer follows on \"$open_question\""
}

say_score() {
	((predicted_count > 0)) || return 0
	in_language "predictions: %d of %d right" "$right_count" "$predicted_count"
	say "$phrase"
}
