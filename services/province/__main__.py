"""`python -m services.province`: this office's web and worker in one process."""

from services.province.service import SERVICE
from shared.runtime.serve import serve

serve(SERVICE)
