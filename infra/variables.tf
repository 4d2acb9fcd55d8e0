variable "alert_emails" {
  description = "Whom the alerts and the budget tell, e.g. [\"ops@app.example\"]; nobody: the console shows it."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "Each is an address such as ops@app.example."
  }
}

variable "alert_error_percent" {
  description = "Somebody is told when more than this share of requests fails for a reason that is not the caller's."
  type        = number
  default     = 5

  validation {
    condition     = var.alert_error_percent > 0 && var.alert_error_percent < 100
    error_message = "A percentage between 0 and 100."
  }
}

variable "alert_latency_s" {
  description = "Somebody is told when one in twenty of the requests that made pictures took longer than this."
  type        = number
  default     = 180

  validation {
    condition     = var.alert_latency_s > 0 && var.alert_latency_s <= 3600
    error_message = "Seconds, at most 3600."
  }
}

variable "alert_spend_usd" {
  description = "Somebody is told when a day's calls have cost more than this at the providers; null: never."
  type        = number
  default     = 100

  validation {
    condition     = var.alert_spend_usd == null ? true : var.alert_spend_usd > 0
    error_message = "Dollars, more than 0."
  }
}

variable "billing_account" {
  description = "The billing account that monthly_budget is set on, e.g. \"012345-6789AB-CDEF01\"; null: no budget."
  type        = string
  default     = null

  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}(-[0-9A-F]{6}){2}$", var.billing_account))
    error_message = "As `gcloud billing accounts list` shows it: 012345-6789AB-CDEF01."
  }
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

  validation {
    condition     = var.database == "(default)" || can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.database))
    error_message = "A database id has 4 to 63 lower-case letters, digits and hyphens, or is (default)."
  }
}

variable "domain" {
  description = "A host name for all functions, e.g. \"images.app.example\": makes a load balancer with a certificate, and its DNS record is yours to set: see domain_ready. null: none, each function has the host that Google gives it."
  type        = string
  default     = null

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "A host name in small letters, without https:// and without a path."
  }
}

variable "domain_ready" {
  description = "Whether the domain's DNS record and certificate are there. Links start with it from then on, and the functions answer nowhere else."
  type        = bool
  default     = false

  validation {
    condition     = !var.domain_ready || var.domain != null
    error_message = "There is no domain."
  }
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

variable "monthly_budget" {
  description = "What the project may cost a month at Google, in the billing account's own currency, before its billing account's administrators are told, at half of it, at all of it, and when it is foreseen. The providers' own bills are not in it: see alert_spend_usd."
  type        = number
  default     = 50

  validation {
    condition     = var.monthly_budget > 0 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "A whole number, more than 0."
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

variable "rebuild" {
  description = "Any text; another one has every function built and deployed anew. Needed after an apply in which a function's update failed, for Terraform notes that as done."
  type        = string
  default     = null
}

variable "region" {
  description = "Where everything runs and lies; it cannot be changed later without losing the data."
  type        = string
  default     = "us-central1"

  validation {
    # Functions run in regions only, and Eventarc wants the bucket's and the function's to be the same.
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "A region such as us-central1, neither a zone nor a multi-region."
  }
}

variable "requests_per_minute" {
  description = "How many requests the load balancer lets one address make in a minute; a team behind one address shares them. Only with a domain."
  type        = number
  default     = 600

  validation {
    condition     = var.requests_per_minute >= 1 && var.requests_per_minute <= 10000 && floor(var.requests_per_minute) == var.requests_per_minute
    error_message = "A whole number from 1 to 10000."
  }
}

variable "sizes" {
  description = "What to change of the functions' sizes in functions.tf, e.g. { generate = { min_instances = 1 } } for no cold start."
  type = map(object({
    concurrency   = optional(number)
    cpu           = optional(string)
    max_instances = optional(number)
    memory        = optional(string)
    min_instances = optional(number)
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.sizes), keys(local.functions))) == 0
    error_message = "Known functions: ${join(", ", keys(local.functions))}."
  }

  validation {
    condition = alltrue(flatten([
      for size in values(var.sizes) : [
        size.concurrency == null ? true : size.concurrency >= 1 && size.concurrency <= 1000,
        size.max_instances == null ? true : size.max_instances >= 1,
        size.min_instances == null ? true : size.min_instances >= 0,
        size.memory == null ? true : can(regex("^[0-9]+(Mi|Gi)$", size.memory)),
        # Less than one serves a request at a time only.
        size.cpu == null ? true : contains(["1", "2", "4", "8"], size.cpu),
      ]
    ]))
    error_message = "concurrency is 1 to 1000, cpu 1, 2, 4 or 8, memory such as 512Mi or 4Gi, and there is at least one instance at most."
  }
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
