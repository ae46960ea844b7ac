# Judge what a look at the members saw.
#
#     awk -f judge.awk now=SECONDS silence_s=SECONDS state=FOLDER members before seen
#
# members: INSTANCE ADDRESS well|unwell MODEL ..., one line each
# before:  INSTANCE LOOKS-THAT-FAILED LOOKS-ANSWERED SINCE ANSWERS, as the look before left it in
#          FOLDER/after; looks in a row
# seen:    URL STATUS EXIT, as curl ended; metrics are in FOLDER/metrics.INSTANCE
#
# Prints "close INSTANCE REASON", "try INSTANCE ADDRESS MODEL ...", and "again" where the next look
# is to follow at once.

BEGIN { STEADY = 8 }
FILENAME ~ /\/members$/ {
    at[$2] = $1
    line[$1] = $0
    well[$1] = $3 == "well"
    next
}
FILENAME ~ /\/before$/ {
    failed[$1] = $2
    steady[$1] = $3
    since[$1] = $4
    answers[$1] = $5
    next
}
{
    split($1, part, "/")
    name = at[part[3]]
    is_metrics = part[4] == "metrics"
}
# What only a process that is not there, or does not serve yet, does: one look is enough. A cut is
# that too as long as another one answers; a server without a file left cuts what is new.
$3 == 7 { at_once[name] = "refused connections" }
$3 == 0 && $2 != 200 && ! is_metrics {
    at_once[name] = "was not ready with the model " part[6] ": it answered " $2
}
$3 == 28 { fails[name] = "answered nothing within 1.5 s" }
$3 ~ /^(52|55|56)$/ { cuts[name] = fails[name] = "cut connections" }
$3 ~ /^(1|8|18)$/ { fails[name] = "answered no HTTP" }
$3 == 0 && $2 == 200 && is_metrics { measured[name] = 1 }

END {
    for (name in line) {
        steady[name] = well[name] && ! (name in at_once || name in fails) ? steady[name] + 1 : 0
        if (steady[name] >= STEADY) answering++
    }
    for (name in line) {
        is_bad = name in at_once || name in fails
        # Where no other one answers, it may be that the whole host is slow, and closing the last
        # one helps nobody. One that has just opened is no help yet: the load has to move first.
        others = answering - (steady[name] >= STEADY)
        failed[name] = name in fails ? failed[name] + 1 : 0
        look_for_progress(name)
        if (well[name] && failed[name] == 1) again = 1
        if (! well[name]) {
            if (! is_bad) print "try", without_mark(line[name])
        } else if (name in at_once) {
            print "close", name, at_once[name]
        } else if (name in cuts && others > 0) {
            print "close", name, cuts[name]
        } else if (failed[name] > 1 && others > 0) {
            print "close", name, fails[name] ", twice in a row"
        } else if (! is_bad && others > 0 && running[name] > 0 && now - since[name] >= silence_s) {
            print "close", name, "had answered nothing for " silence_s \
                " s, with " running[name] " requests in progress"
            since[name] = now
            answering--
        }
        print name, failed[name], steady[name], since[name], answers[name] > (state "/after")
    }
    if (again) print "again"
    if (! length_of(line)) printf "" > (state "/after")
}

# A long queue is no hang: something is answered all the while. How many wait does not count, nor
# how many more come.
function look_for_progress(name,    file, text, now_answered) {
    file = state "/metrics." name
    running[name] = 0
    if (! (name in measured)) { since[name] = now; answers[name] = "-"; return }
    while ((getline text < file) > 0) {
        split(text, word, " ")
        if (text ~ /^ovms_current_graphs[{ ]/) running[name] += value_of(text)
        else if (text ~ /^ovms_(responses|graph_error|graph_processing_time_us_count)[{ ]/)
            now_answered = now_answered value_of(text) ","
    }
    close(file)
    if (now_answered == "") now_answered = "-"
    if (running[name] == 0 || now_answered != answers[name]) since[name] = now
    answers[name] = now_answered
}

function value_of(text,    words) {
    return words[split(text, words, " ")]
}

function without_mark(text,    words, count, i, result) {
    count = split(text, words, " ")
    result = words[1] " " words[2]
    for (i = 4; i <= count; i++) result = result " " words[i]
    return result
}

function length_of(array,    key, count) {
    for (key in array) count++
    return count
}
