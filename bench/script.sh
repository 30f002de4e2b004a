#!/usr/bin/env bash
# What `deployer up` is measured against: the same deployment with Docker and the AWS command line, as one would write it by hand.
# It gets a program that is compiled already. Usage: script.sh STACK TEMPLATE FOLDER, where FOLDER has a Dockerfile and what it copies.
# `AWS_ENDPOINT_URL` and credentials come from the environment; REGISTRY is where images go.
set -euo pipefail
stack=$1 template=$2 folder=$3

aws_() { aws --endpoint-url "$AWS_ENDPOINT_URL" --output text "$@"; }
deploy() {
    aws_ cloudformation deploy --stack-name "$stack" --template-file "$template" --capabilities CAPABILITY_IAM \
        --no-fail-on-empty-changeset "$@" >/dev/null
}
output() {
    aws_ cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
}

# The repository comes with the stack, so a new one is made without a service first.
if ! aws_ cloudformation describe-stacks --stack-name "$stack" >/dev/null 2>&1; then deploy; fi
address="$REGISTRY/$(output RepositoryName)"

aws_ ecr get-login-password | docker login --username AWS --password-stdin "$REGISTRY" >/dev/null 2>&1

docker build --quiet --tag "$address:latest" "$folder" >/dev/null
# Tags are immutable: the image's id is one that is never another image.
id=$(docker image inspect --format '{{.Id}}' "$address:latest")
tag="$address:${id:7:12}"
docker tag "$address:latest" "$tag"
docker push --quiet "$tag" >/dev/null
image=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$tag" | grep "^$address@" | tail -1)

# With a gate: asks each version that waits through the header, as one would by hand, and lets it go on.
keep_the_gate() {
    local cluster service='' key url host deployment hook
    cluster=$(output ClusterName) url=$(output Url)
    host=${url#http://}
    key=$(aws_ cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackId')
    while kill -0 "$1" 2>/dev/null; do
        sleep 0.1
        # Not an output before the first version runs.
        [ -n "$service" ] || service=$(aws_ ecs list-services --cluster "$cluster" --query 'serviceArns[0]')
        [ "$service" != None ] || service=''
        [ -n "$service" ] || continue
        deployment=$(aws_ ecs list-service-deployments --cluster "$cluster" --service "$service" --status IN_PROGRESS \
            --query 'serviceDeployments[0].serviceDeploymentArn' 2>/dev/null) || continue
        [ "$deployment" != None ] || continue
        hook=$(aws_ ecs describe-service-deployments --service-deployment-arns "$deployment" \
            --query "serviceDeployments[0].lifecycleHookDetails[?status=='AWAITING_ACTION'] | [0].hookId")
        [ "$hook" != None ] || continue
        curl --silent --show-error --fail --max-time 10 --retry 5 --header "Host: ${host%%/*}" \
            --header "x-deployer-gate: ${key##*/}" "$AWS_ENDPOINT_URL/now" >/dev/null
        echo "verdict $EPOCHREALTIME"
        aws_ ecs continue-service-deployment --service-deployment-arn "$deployment" --hook-id "$hook" --action CONTINUE >/dev/null
    done
}
if grep -q TestListenerRule: "$template"; then
    deploy --parameter-overrides "ImageUri=$image" &
    keep_the_gate $!
    wait $!
else
    deploy --parameter-overrides "ImageUri=$image"
fi

# `aws ecs wait services-stable` looks every 15 s: this looks as soon as it can.
cluster=$(output ClusterName) service=$(output ServiceName)
for _ in $(seq 200); do
    state=$(aws_ ecs describe-services --cluster "$cluster" --services "$service" \
        --query 'services[0].[length(deployments),runningCount,desiredCount,deployments[0].rolloutState]')
    [ "$state" = $'1\t2\t2\tCOMPLETED' ] && break
    sleep 0.1
done
[ "$state" = $'1\t2\t2\tCOMPLETED' ] || { echo "the service does not settle: $state" >&2; exit 1; }
url=$(output Url)
host=${url#http://}
curl --silent --show-error --fail --max-time 10 --retry 5 --header "Host: ${host%%/*}" "$AWS_ENDPOINT_URL/now" >/dev/null
