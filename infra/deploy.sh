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
variables=(-var "project=$PROJECT")
# Given here, they come before those in terraform.tfvars.
[ -z "${REGION:-}" ] || variables+=(-var "region=$REGION")
[ -z "${PROVIDERS:-}" ] || variables+=(-var "enabled_providers=$PROVIDERS")

evaluated() {
  terraform -chdir=infra console "${variables[@]}" <<<"$1" | tail -n 1 | tr -d '"'
}

# The state of a secret's newest version, or nothing; fails where there is no such secret.
newest() {
  gcloud secrets versions list "$1" --project="$PROJECT" --sort-by=~createTime --limit=1 \
    --format='value(state)'
}

set_up() {
  agree "Set up $PROJECT for Terraform: some APIs, and gs://$bucket?"
  gcloud services enable --project="$PROJECT" cloudresourcemanager.googleapis.com \
    eventarc.googleapis.com pubsub.googleapis.com serviceusage.googleapis.com storage.googleapis.com
  for service in eventarc pubsub; do
    gcloud beta services identity create --project="$PROJECT" --service="$service.googleapis.com"
  done
  # Last: that it is there says that the rest was done.
  gcloud storage buckets create "gs://$bucket" --project="$PROJECT" \
    --location="${REGION:-us-central1}" --uniform-bucket-level-access --public-access-prevention
}

# A function needs its secrets' values to start, so these come before everything else.
make_secrets() {
  terraform -chdir=infra apply -input=false -auto-approve -lock-timeout=300s "${variables[@]}" \
    -target=google_secret_manager_secret.secret
}

check_secrets() {
  local secret version missing=
  for secret in "$@"; do
    newest "$secret" >/dev/null 2>&1 || {
      make_secrets
      break
    }
  done
  version=$(newest DARKROOM_SIGNING_SECRET)
  # Only where there was none: another ends all links, and changes what webhooks are signed with.
  if [ -z "$version" ]; then
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' |
      gcloud secrets versions add DARKROOM_SIGNING_SECRET --project="$PROJECT" --data-file=-
  fi
  for secret in "$@"; do
    version=$(newest "$secret")
    case "$version" in ENABLED | enabled) ;; *) missing="$missing $secret" ;; esac
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
    "$1" | "(known after apply)") ;;
    *) stop "the data of $PROJECT lies in $there, not in $1: give REGION=$there" ;;
  esac
}

say "Check"
make check

versioned=$(gcloud storage buckets describe "gs://$bucket" --format='value(versioning_enabled)' \
  2>/dev/null) || set_up
[ "$versioned" = True ] || gcloud storage buckets update "gs://$bucket" --versioning

say "Init"
# Whose quota the calls of a person's own credentials count against.
export GOOGLE_CLOUD_QUOTA_PROJECT=$PROJECT TF_IN_AUTOMATION=1
mkdir -p "$built"
terraform -chdir=infra init -input=false -reconfigure -backend-config="bucket=$bucket"
named=$(evaluated 'join(" ", concat([var.region], sort(distinct(flatten(values(local.mounts))))))')
read -r region mounted <<<"$named"
check_region "$region"
# shellcheck disable=SC2086 # one word each
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
      stop "applied in part. Do the same again: in a new project, rights take minutes to arrive"
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
