#!/usr/bin/env bash
# Deploys this folder to a Google Cloud project: `make deploy PROJECT=my-project`. It does what
# cloudbuild.yaml does, after what only a new project needs, and goes on where it was stopped.
#   REGION     where, e.g. europe-west1; by default as infra/terraform.tfvars or variables.tf say
#   PROVIDERS  whose keys the functions get, e.g. '["GEMINI"]'; by default likewise
#   YES=1      asks nothing
set -euo pipefail
cd "$(dirname "$0")/.."

stop() {
  printf 'deploy: %s\n' "$*" >&2
  exit 1
}

say() {
  printf '\n== %s\n' "$*"
}

agree() {
  [ "${YES:-}" = 1 ] && return
  printf '%s [y/N] ' "$*"
  read -r answer || answer=
  case "$answer" in y | Y | yes) ;; *) stop "not agreed to, so it was left at that" ;; esac
}

# gcloud has questions of its own, such as whether to install what a command needs.
[ "${YES:-}" != 1 ] || export CLOUDSDK_CORE_DISABLE_PROMPTS=1

[ -n "${PROJECT:-}" ] || stop "which project? make deploy PROJECT=my-project"
for tool in gcloud terraform; do
  command -v "$tool" >/dev/null || stop "there is no $tool on this machine: it has to be installed"
done
gcloud projects describe "$PROJECT" --format='value(projectId)' >/dev/null ||
  stop "gcloud cannot see the project $PROJECT: log in with gcloud auth login, or correct its name"
gcloud auth application-default print-access-token >/dev/null 2>&1 ||
  stop "Terraform has no credentials: log in with gcloud auth application-default login"

bucket=$PROJECT-darkroom-state
built=infra/.build
mkdir -p "$built"
variables=(-var "project=$PROJECT")
# Given here, they come before those in terraform.tfvars.
[ -z "${REGION:-}" ] || variables+=(-var "region=$REGION")
[ -z "${PROVIDERS:-}" ] || variables+=(-var "enabled_providers=$PROVIDERS")

# What an expression is, or nothing while nobody knows. Terraform speaks of locks between the lines.
evaluated() {
  terraform -chdir=infra console "${variables[@]}" <<<"\"=\${$1}=\"" | sed -n 's/^"=\(.*\)="$/\1/p'
}

# Puts what gcloud finds into $found; fails where it says that there is no such thing. Whatever else
# goes wrong does not say so.
look_up() {
  found=$(gcloud "$@" 2>"$built/gcloud.txt") && return
  ! grep -qE 'not found: 404|HTTPError 404|NOT_FOUND|SERVICE_DISABLED' "$built/gcloud.txt" || return 1
  cat "$built/gcloud.txt" >&2
  stop "gcloud $1 $2 failed, so nothing goes on from there"
}

# The state of a secret's newest version, or nothing; fails where there is no such secret.
newest() {
  look_up secrets versions list "$1" --project="$PROJECT" --sort-by=~createTime --limit=1 \
    --format='value(state)'
}

set_up() {
  local region number
  agree "Set up $PROJECT for Terraform: some APIs, and gs://$bucket?"
  gcloud services enable --project="$PROJECT" cloudresourcemanager.googleapis.com \
    eventarc.googleapis.com pubsub.googleapis.com serviceusage.googleapis.com storage.googleapis.com
  for service in eventarc pubsub; do
    gcloud beta services identity create --project="$PROJECT" --service="$service.googleapis.com"
  done
  # It would come with Eventarc's first use, minutes too late for that.
  number=$(gcloud projects describe "$PROJECT" --format='value(projectNumber)')
  gcloud projects add-iam-policy-binding "$PROJECT" --role=roles/eventarc.serviceAgent \
    --member="serviceAccount:service-$number@gcp-sa-eventarc.iam.gserviceaccount.com" \
    --condition=None --format=none
  region=${REGION:-}
  if [ -z "$region" ] && [ -e infra/terraform.tfvars ]; then
    region=$(sed -n 's/^[[:space:]]*region[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' infra/terraform.tfvars)
  fi
  # Last: that it is there says that the rest was done.
  gcloud storage buckets create "gs://$bucket" --project="$PROJECT" \
    --location="${region:-us-central1}" --uniform-bucket-level-access --public-access-prevention
}

# What a function needs to be built and to start: its secrets' values, and rights that have arrived.
first=(
  google_artifact_registry_repository_iam_member.builder
  google_project_iam_member.builder
  google_project_iam_member.builder_source
  google_project_iam_member.eventarc
  google_project_iam_member.function
  google_project_iam_member.storage_agent
  google_project_iam_member.vertex
  google_secret_manager_secret.secret
  google_secret_manager_secret_iam_member.function
  google_storage_bucket_iam_member.builder
)

make_first() {
  agree "Make in $PROJECT what comes before the functions: secrets, accounts, and their rights?"
  terraform -chdir=infra apply -input=false -auto-approve -lock-timeout=300s "${variables[@]}" \
    "${first[@]/#/-target=}" || stop "made in part: do the same again"
  printf 'Waiting two minutes, as rights take some to arrive: functions would fail without them.\n'
  sleep 120
}

check_secrets() {
  local secret missing=
  for secret in "$@"; do
    newest "$secret" || {
      make_first
      break
    }
  done
  newest DARKROOM_SIGNING_SECRET || stop "there is no secret DARKROOM_SIGNING_SECRET"
  # Only where there was none: another ends all links, and changes what webhooks are signed with.
  if [ -z "$found" ]; then
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' |
      gcloud secrets versions add DARKROOM_SIGNING_SECRET --project="$PROJECT" --data-file=-
  fi
  for secret in "$@"; do
    newest "$secret" || true
    case "$found" in ENABLED | enabled) ;; *) missing="$missing $secret" ;; esac
  done
  [ -n "$missing" ] || return 0
  printf 'deploy: functions do not start without an enabled version of their secrets. Add:\n' >&2
  for secret in $missing; do
    printf '  printf %%s "$%s" | gcloud secrets versions add %s --project=%s --data-file=-\n' \
      "$secret" "$secret" "$PROJECT" >&2
  done
  exit 1
}

# Terraform would make all data anew in another region.
check_region() {
  local there
  there=$(evaluated 'lower(google_storage_bucket.images.location)')
  case "$there" in
    "") ;; # there is no data yet
    "$1") ;;
    *) stop "the data of $PROJECT lies in $there, not in $1: give REGION=$there" ;;
  esac
}

# PROVIDERS that were given once and are forgotten now would take their keys away.
check_keys() {
  local secret lost=
  for secret in $(evaluated 'join(" ", [for key in keys(google_secret_manager_secret_iam_member.function) : split(" ", key)[1]])'); do
    case " $* $lost " in *" $secret "*) ;; *) lost="$lost $secret" ;; esac
  done
  [ -z "$lost" ] || [ -n "${PROVIDERS:-}" ] ||
    grep -qs '^[[:space:]]*enabled_providers[[:space:]]*=' infra/terraform.tfvars ||
    stop "functions would lose$lost: write enabled_providers into infra/terraform.tfvars"
}

say "Check"
make check

look_up storage buckets describe "gs://$bucket" --format='value(versioning_enabled)' || set_up
[ "$found" = True ] || gcloud storage buckets update "gs://$bucket" --versioning

say "Init"
# Whose quota the calls of a person's own credentials count against.
export GOOGLE_CLOUD_QUOTA_PROJECT=$PROJECT TF_IN_AUTOMATION=1
terraform -chdir=infra init -input=false -reconfigure -backend-config="bucket=$bucket"
named=$(evaluated 'join(" ", concat([var.region], sort(distinct(flatten(values(local.mounts))))))')
[ -n "$named" ] || stop "Terraform does not say where it deploys to, and with which secrets"
read -r region mounted <<<"$named"
check_region "$region"
# shellcheck disable=SC2086 # one word each
check_keys $mounted
# shellcheck disable=SC2086
check_secrets $mounted

say "Plan"
changes=0
terraform -chdir=infra plan -input=false -lock-timeout=300s -no-color -detailed-exitcode \
  "${variables[@]}" -out=release.tfplan >"$built/plan.txt" || changes=$?
case "$changes" in
  0) printf 'Nothing to change.\n' ;;
  2)
    # What is only new is counted, what changes or goes is named.
    grep -E '^  # .+ (will|must) be |^Plan: ' "$built/plan.txt" |
      grep -vE ' will be (created|read during apply)$' || true
    printf 'All of it: %s/plan.txt\n' "$built"
    agree "Apply this to $PROJECT?"
    say "Apply"
    terraform -chdir=infra apply -input=false -lock-timeout=300s release.tfplan ||
      stop "applied in part. In a new project rights take minutes to arrive: do the same again." \
        "If functions were being updated, first set rebuild in infra/terraform.tfvars to another text"
    ;;
  *) stop "there is no plan, and nothing was changed" ;;
esac

say "Smoke test"
terraform -chdir=infra output -json operator_env >"$built/operator_env.json"
.venv/bin/python -m tests.smoke "$built/operator_env.json" ||
  stop "it is deployed, but does not work as it should"

say "Deployed. For python -m shared.cli:"
.venv/bin/python -c 'import json, shlex, sys
for name, value in json.load(sys.stdin).items():
    print(f"export {name}={shlex.quote(value)}")' <"$built/operator_env.json"
