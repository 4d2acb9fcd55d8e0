"""The deployed functions: one import each, nothing else."""

from functions.account import account
from functions.edit import edit
from functions.gemini import gemini
from functions.generate import generate
from functions.models import models
from functions.openai import openai
from functions.sweep import sweep
