#!/bin/sh
# A drill on a cluster of yours: one worker of a running module is deleted, and it is told how long the module
# takes to be whole again. Needs kubectl and the right to get modules and to delete pods in the namespace.
#
#   ./drill.sh production load-prediction
#   ./drill.sh --force production load-prediction
set -eu

usage() {
    cat <<'END'
usage: drill.sh [--delete | --force] [--timeout SECONDS] NAMESPACE MODULE

  --delete           delete the pod of shard 0, which may end in order (default)
  --force            delete it without its time to end, as a lost node would
  --timeout SECONDS  give up after so long (default 300)

MODULE is the name of an AnalysisModule. Exit code: 0 when its phase is Running with all shards ready again,
1 when that takes too long, 2 when nothing was done. There is no kill -9 inside of the pod: the worker is
process 1 there, which the kernel lets no process of its own container kill.
END
}

refuse() {
    echo "drill.sh: $1" >&2
    exit 2
}

grace=
limit=300
while [ $# -gt 0 ]; do
    case $1 in
        --delete) grace= ;;
        --force) grace="--grace-period=0 --force" ;;
        --timeout)
            [ $# -gt 1 ] || refuse "--timeout: how many seconds? See drill.sh --help"
            limit=$2
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) refuse "$1 is no option; see drill.sh --help" ;;
        *) break ;;
    esac
    shift
done
[ $# -eq 2 ] || refuse "give a namespace and the name of a module; see drill.sh --help"
case $limit in '' | *[!0-9]*) refuse "--timeout: $limit is no number of seconds" ;; esac
namespace=$1
module=$2

# Sets phase, ready, lag, generation, observed and pod (that of shard 0); fails as kubectl does.
look() {
    fields='{.status.phase}|{.status.ready}|{.status.lag}|{.metadata.generation}|{.status.observedGeneration}'
    fields="$fields|{.status.shards[?(@.shard==0)].pod}"
    seen=$(kubectl get analysismodule "$module" --namespace "$namespace" --output "jsonpath=$fields") || return 1
    IFS='|' read -r phase ready lag generation observed pod <<END
$seen
END
}

# Whether the status is that of the newest spec, and all is well.
is_whole() {
    [ "$phase" = Running ] && [ "$generation" = "$observed" ] && [ -n "$pod" ] &&
        [ "${ready%/*}" = "${ready#*/}" ]
}

look || refuse "$namespace/$module could not be read; nothing was done"
is_whole || refuse "$namespace/$module is ${phase:-without a status} (ready ${ready:-unknown}), not Running \
with all shards ready: a drill begins with a module that is well; nothing was done"

before=${lag:-unknown}
deleted=$pod
echo "$namespace/$module is Running, ready $ready, lag $before; deleting the pod $deleted of shard 0"
# Unquoted on purpose: two options, or none.
# shellcheck disable=SC2086
kubectl delete pod "$deleted" --namespace "$namespace" --wait=false $grace ||
    refuse "the pod $deleted was not deleted"
began=$(date +%s)

while :; do
    passed=$(($(date +%s) - began))
    # A look that fails is tried again: the API may be away for a moment.
    if look && is_whole && [ "$pod" != "$deleted" ]; then
        break
    fi
    if [ "$passed" -ge "$limit" ]; then
        echo "NOT recovered after $passed s: phase $phase, ready $ready, lag ${lag:-unknown} (before: $before)" >&2
        echo "see: kubectl describe analysismodule $module --namespace $namespace" >&2
        exit 1
    fi
    sleep 1
done
echo "recovered after $passed s: Running, ready $ready, shard 0 in the pod $pod"
echo "lag before $before, now ${lag:-unknown}; figures of a status are up to 30 s old"
