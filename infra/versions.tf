terraform {
  required_version = ">= 1.12"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
  }

  # Its bucket is given at `terraform init`: see README.md.
  backend "gcs" {
    prefix = "darkroom"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  # A budget belongs to no project: who sets one has to say on whose quota.
  billing_project       = var.billing_account == null ? null : var.project
  user_project_override = var.billing_account == null ? null : true
}
