variable "alert_emails" {
  description = "Who is told when events have failed too often, e.g. [\"ops@app.example\"]; nobody: the console shows it."
  type        = set(string)
  default     = []
}

variable "blocklist" {
  description = "A file of words no prompt may contain, by its path in this repository; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.blocklist == null || can(file("${path.module}/../${var.blocklist}"))
    error_message = "There is no such file in the repository."
  }
}

variable "catalogue" {
  description = "A file that adds or changes catalogue rows, by its path in this repository; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.catalogue == null || can(file("${path.module}/../${var.catalogue}"))
    error_message = "There is no such file in the repository."
  }
}

variable "cors_origins" {
  description = "Whose web pages browsers let call the functions, e.g. [\"https://app.example\"]; [\"*\"]: everybody's."
  type        = list(string)
  default     = []

  validation {
    # As in shared/settings.py, where a function would only find out when it is called.
    condition = alltrue([
      for origin in var.cors_origins :
      origin == "*" || can(regex("^[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\\[[0-9a-f:]+\\])(:[0-9]{1,5})?$", origin))
    ])
    error_message = "Each is * or an origin such as https://app.example, without a path and in small letters."
  }
}

variable "database" {
  description = "The Firestore database's id. A database of its own keeps other applications of the project out."
  type        = string
  default     = "darkroom"
}

variable "enabled_providers" {
  description = "Whose API keys the functions get, e.g. [\"GEMINI\"]. Add a provider only once its secret has a version: a function does not start while a secret it mounts has none."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.enabled_providers, local.providers)) == 0
    error_message = "Known providers: ${join(", ", local.providers)}."
  }
}

variable "image_retention_days" {
  description = "After how many days a stored object is deleted; 0 keeps all until their owners delete them."
  type        = number
  default     = 0

  validation {
    # What a batch still needs, and its results, are among the objects.
    condition     = var.image_retention_days == 0 || (var.image_retention_days >= 7 && floor(var.image_retention_days) == var.image_retention_days)
    error_message = "Whole days, at least 7, for a batch may take some; or 0."
  }
}

variable "project" {
  description = "The id of an existing project with billing."
  type        = string

  validation {
    # Also keeps out legacy ids such as example.com:project, whose host names differ.
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "public_url" {
  description = "Where callers find the functions, each at /<name>. Links to pictures start with it. By default the host that Google gives to a project's functions in a region."
  type        = string
  default     = null

  validation {
    condition     = var.public_url == null || can(regex("^https://[^/]+$", var.public_url))
    error_message = "https:// and a host, with no path."
  }
}

variable "region" {
  description = "Where everything runs and lies; it cannot be changed later without losing the data."
  type        = string
  default     = "us-central1"
}

variable "vertex_location" {
  description = "Where Vertex AI serves the Gemini models to the functions' own service accounts, e.g. \"global\"; null: not at all."
  type        = string
  default     = null

  validation {
    condition     = var.vertex_location == null || can(regex("^[a-z][a-z0-9-]+$", var.vertex_location))
    error_message = "A location such as global or europe-west4."
  }
}

variable "webhook_providers" {
  description = "Who tells us by a signed webhook that a batch is done, e.g. [\"OPENAI\"]. Add a provider only once its secret has a version, as with enabled_providers. Batches end without it too, a little later."
  type        = set(string)
  default     = []

  validation {
    condition     = length(setsubtract(var.webhook_providers, local.webhook_providers)) == 0
    error_message = "Known providers: ${join(", ", local.webhook_providers)}."
  }
}
