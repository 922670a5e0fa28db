# Holds the tables of docs/from_pytorch.md against the public headers, and its counts against its
# tables. Arguments: a file with the names that the headers declare, one a line; the page. Prints
# what is wrong:
#   - a lucid name in a table that no header declares;
#   - a constructor (nn_, optim_, data_) that no table has;
#   - a row that has neither a lucid name nor "not yet" nor "not there, because" in its second
#     column, and a name of PyTorch that stands twice under one heading;
#   - a count that differs from the number of rows.
function trim(text) {
    gsub(/^ +| +$/, "", text)
    return text
}

# Every lucid name of a cell between backquotes is declared.
function check_names(cell,    name) {
    while (match(cell, /`(lucid|nn|optim|data|LUCID)_[A-Za-z0-9_]+/)) {
        name = substr(cell, RSTART + 1, RLENGTH - 1)
        cell = substr(cell, RSTART + RLENGTH)
        named[name] = 1
        if (!(name in declared)) print FILENAME ":" FNR ": no header declares " name
    }
}

FNR == NR {
    declared[$1] = 1
    next
}

/^##/ {
    heading = $0
    sub(/^#+ */, "", heading)
    if (/^## /) part = heading
}

# A row of a table, neither the header's nor the line under it.
part == "How much is there" && /\| [0-9]+ of [0-9]+ \|/ {
    split($0, cell, "|")
    told[trim(cell[2])] = trim(cell[3])
    told_at[trim(cell[2])] = FNR
}

part == "Names" && /^\|/ && !/^\| (PyTorch|---) / {
    split($0, cell, "|")
    pytorch = trim(cell[2])
    ours = trim(cell[3])
    check_names(ours)
    check_names(cell[4])
    if (ours !~ /^(`|not yet$|not there, because )/)
        print FILENAME ":" FNR ": neither a lucid name nor \"not yet\" nor \"not there, because\""
    if (pytorch != "`none`" && (heading, pytorch) in seen)
        print FILENAME ":" FNR ": " pytorch " stands twice under " heading
    seen[heading, pytorch] = 1
    rows[heading]++
    if (ours ~ /^`/) have[heading]++
    if (heading == "torch.nn: modules" && pytorch ~ /Loss`$/) {
        rows["torch.nn: losses"]++
        if (ours ~ /^`/) have["torch.nn: losses"]++
    }
}

END {
    for (name in declared)
        if (name ~ /^(nn|optim|data)_/ && !(name in named))
            print FILENAME ": no table has " name
    for (heading in told)
        if (told[heading] != have[heading] + 0 " of " rows[heading] + 0)
            print FILENAME ":" told_at[heading] ": " heading ": " told[heading] ", but the table has " \
                have[heading] + 0 " of " rows[heading] + 0
    if (!("torch.nn: modules" in told)) print FILENAME ": the page has no counts"
}
