"""The deployed functions: one import each, nothing else."""

from functions.account import account
from functions.batch import batch
from functions.batch_callback import batch_callback
from functions.edit import edit
from functions.gemini import gemini
from functions.generate import generate
from functions.models import models
from functions.on_upload import on_upload
from functions.openai import openai
from functions.provider_webhook import provider_webhook
from functions.run_request import run_request
from functions.studio import studio
from functions.sweep import sweep
from functions.three_d import three_d
