import os
import pytest
from tests.infra import test_deployed as d
pytestmark=[pytest.mark.emulator]
MUT={
"asgi":("functions.tf",'FUNCTION_USE_ASGI    = "true"','FUNCTION_USE_ASGJ    = "true"'),
"push":("messaging.tf",'requests        = "run_request"','requests        = "batch_callback"'),
"uploads":("functions.tf",'DARKROOM_UPLOADS_BUCKET     = google_storage_bucket.uploads.name','DARKROOM_UPLOADS_BUCKET     = google_storage_bucket.source.name'),
"tick":("scheduler.tf",'topic_name = google_pubsub_topic.sweep.id','topic_name = google_pubsub_topic.dead["requests"].id'),
}
@pytest.mark.parametrize("m",os.environ["MUT"].split())
def test_mut(m,tmp_path,firestore_emulator,pubsub_emulator,monkeypatch):
    real=d.prepare
    def prep2(s):
        t=real(s); f,a,b=MUT[m]; p=t.folder/f; x=p.read_text(); assert a in x,m; p.write_text(x.replace(a,b))
        p=t.folder/"tests"/"deployed.tftest.hcl"; p.write_text(p.read_text().replace("darkroom-first","darkroom-"+m)); return t
    monkeypatch.setattr(d,"prepare",prep2); monkeypatch.setattr(d,"LONGEST_S",int(os.environ.get("L","15")))
    try: d.test_every_function_does_its_part(tmp_path,firestore_emulator,pubsub_emulator)
    except Exception as e: print("MUT",m,type(e).__name__,str(e)[-400:]); return
    print("MUT",m,"SURVIVED")
