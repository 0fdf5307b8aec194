# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153,SC2154 # the files of the vocabulary share their variables
# A lesson speaks the reader's language: English, or French where LANG says so and experiments/fr/ has this lesson.
# There, a phrase of the script stands above its translation, and an empty line between two such pairs.

# What stands for each phrase, and the phrases of this lesson that nothing has asked for yet.
declare -A translation=() unsaid=()
# The phrase that was last put into the reader's language.
phrase=''

choose_language() {
	local locale=${LC_ALL:-${LC_MESSAGES-}} lesson=${script%/*}/fr/$script_name.txt english
	# These two say that there is no language, not that it is another one.
	case $locale in '' | C | C.* | POSIX) locale=${LANG-} ;; esac
	[[ $locale == fr* && -f $lesson ]] || return 0
	read_translation "$lesson"
	for english in "${!translation[@]}"; do unsaid[$english]=yes; done
	read_translation "$lib/../fr/vocabulary.txt"
}

read_translation() {
	local english french
	while IFS= read -r english && IFS= read -r french; do
		translation[$english]=$french
		IFS= read -r _ || true
	done <"$1"
}

# words TEXT: sets phrase to what stands for a text. What has no translation stands in English.
words() {
	phrase=$1
	[[ -n ${translation[${1:-none}]-} ]] || return 0
	phrase=${translation[$1]}
	unset "unsaid[$1]"
}

# in_language FORMAT ARGUMENT…: sets phrase, as printf(1) does.
in_language() {
	words "$1"
	# shellcheck disable=SC2059 # a format on purpose
	printf -v phrase "$phrase" "${@:2}"
}

# A translation of what is not said any more.
no_unsaid_phrase() {
	((${#unsaid[@]} == 0)) || die "fr/$script_name.txt: the lesson does not say: ${!unsaid[*]}"
}

# The header in the reader's language: each paragraph one phrase, the picture one a line.
header_in_language() {
	((${#translation[@]} > 0)) || return 0
	local line drawn=''
	words "$title"
	title=$phrase
	words "${question//$'\n'/ }"
	question=$(wrapped "$phrase")
	words "${answer//$'\n'/ }"
	answer=$(wrapped "$phrase")
	while IFS= read -r line; do
		words "$line"
		drawn+="${drawn:+$'\n'}$phrase"
	done <<<"$picture"
	picture=$drawn
}

# The header's comments are wrapped, and so is what stands for them.
wrapped() {
	fold -s -w 118 <<<"$1" | sed 's/ $//'
}

# explain QUESTION ANSWER: a question of the lesson and its answer, which the checks since the one before have shown.
explain() {
	arguments 2 2 "QUESTION ANSWER" "$@"
	word explain "$1"
	no_failed_start
	((checks > explained_checks)) || die "explain: nothing was checked for \"$1\""
	local question
	words "$1"
	question=$phrase
	words "$2"
	((failures == explained_failures)) || in_language "The kernel did something else than this lesson says."
	say "" "${bold}$question${plain}" "  $phrase" ""
	explained_checks=$checks explained_failures=$failures
}

explained_checks=0 explained_failures=0
