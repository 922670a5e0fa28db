#!/bin/sh
# Comments and pages are plain sentences that a stranger understands at once. This test finds words
# of a dialect that once filled them. It reads the folders whose texts have been gone through: add
# yours to `texts` when you have done the same for it.
# shellcheck source=tests/house/tap.sh
. "$(dirname "$0")/tap.sh"

texts() {
    echo README.md CONTRIBUTING.md CHANGELOG.md
    find docs examples tests -name '*.md' -type f ! -path 'docs/notes/*'
    find autograd examples lucid tests backends/cuda -type f \( -name '*.[ch]' -o -name '*.cu' \)
    find backends/cpu -type f -name '*.[ch]'
    find nn -type f -name "*.[ch]"
}

# A word as an extended regular expression, a colon, and what to write in its place.
cat >"$scratch/words" <<'EOF'
behind:after, later than; below, under
one's own:your own, its own
what there is:what exists, what is given
what there are:which ones exist
that there (is|are) not:that are not given, that do not exist
all there (is|are):all of them
there (is|are) of:how many exist
as many[,;.)]:the same number
(is|are) as many:is the same number
so many[ ,;.]:this number of, many
but for (the|a|an|its|those):except
(its|their) kin:the functions like it
goes? the same way:is done in the same way
passed over:not used
as (it|they) stands?:as it is
the same of:the same for
nothing but:only
none but:only
for ever:forever
as ever:as before
in the place of:in place of, instead of
of (the|a) (caller|library|program|user|test)'s own:the caller's
of lucid's( own)?[,.;]:lucid's
next to nothing:close to 0
by way of:through
left alone:not changed
EOF

# Lines in which such a word is right: "FILE: part of the line".
cat >"$scratch/allowed" <<'EOF'
README.md: On a Debian machine with nothing but a shell
EOF

for file in $(texts); do
    [ ! -f "$file" ] || awk -f tests/house/comments.awk "$file"
done >"$scratch/text"
while IFS=: read -r word better; do
    grep -iE "(^|[^a-zA-Z_])($word)([^a-zA-Z_]|\$)" "$scratch/text" | while read -r found; do
        file=${found%%:*} right=
        while IFS=: read -r where part; do
            case $file:$found in "$where":*"${part# }"*) right=yes ;; esac
        done <"$scratch/allowed"
        [ -n "$right" ] || echo "$found   [$word: $better]"
    done
done <"$scratch/words" >"$scratch/dialect"
expect_empty "comments and pages are plain sentences" "$scratch/dialect"

# The test finds what it looks for: a comment over two lines, one at the end of a line, a page.
mkdir -p "$scratch/probe"
printf 'int a; /* the word\n * behind it */\nint b; // what there is\n' >"$scratch/probe/probe.c"
# shellcheck disable=SC2016 # a block of code, not a command
printf 'one is behind\n```c\nnot behind\n```\n' >"$scratch/probe/probe.md"
for file in "$scratch"/probe/*; do awk -f tests/house/comments.awk "$file"; done |
    grep -cE 'behind|what there is' >"$scratch/count"
if [ "$(cat "$scratch/count")" = 3 ]; then
    pass "the test reads comments and pages"
else
    fail "the test reads comments and pages" "$scratch/count"
fi
finish
