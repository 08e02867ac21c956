"""Clients generated from the OpenAPI document compile under strict rules, and their types say what the document says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "openapi" / "v1.json"
PACKAGES = ("openapi-typescript@7.13.0", "@hey-api/openapi-ts@0.95.0", "typescript@5.9.3")
GENERATE = f"""set -e
openapi-typescript {DOCUMENT} -o schema.ts
openapi-ts -i {DOCUMENT} -o hey --silent
tsc --strict --noEmit --skipLibCheck --target es2022 --module es2022 --moduleResolution bundler --lib es2022,dom,dom.iterable use.ts
"""
USE = """
import type { components, paths } from './schema';
import { createJudgement, createReports, getDigest, listAidDeliveries, listSituations } from './hey';

type Page = paths['/v1/situations']['get']['responses'][200]['content']['application/json'];
export const low = (page: Page): number | null | undefined => page.items[0]?.trapped[0]?.people_low;
export const supply: components['schemas']['SupplyType'] = 'food';
// @ts-expect-error: this fails to compile if the next line has no error.
export const wrong: components['schemas']['SupplyType'] = 'fodo';
export const flags: components['schemas']['CheckName'][] = ['tenfold'];
export const changed = (event: components['schemas']['ChangeEvent']): number => event.data.seq;
export async function use(): Promise<string | undefined> {
  const value = { supply, in_days_min: 3 };
  await createReports({ body: { kind: 'supply_runout', place: 'aleppo-east', source: 'un', stated_at: '2016-08-02', value } });
  const { data } = await listSituations({ query: { place: 'aleppo-east', as_of: '2016-08-09', limit: 5 } });
  const aid = (await listAidDeliveries({ query: { status: 'denied' } })).data?.items[0];
  const reasons = { likelihood: 'likely', confidence: 'moderate', reasons: 'Both sources saw it.' } as const;
  if (aid) await createJudgement({ path: { id: aid.id }, body: { value: { operation: 'convoy-7', stage: 'denied' }, ...reasons } });
  const digest = await getDigest({ path: { place: 'aleppo-east' }, query: { since: '2016-08-06' } });
  if (digest.data?.items.some((each) => each.change === 'contested')) return aid?.value?.stage ?? undefined;
  return data?.items[0]?.newest_statement ?? undefined;
}
"""


def test_typescript_clients_compile_strictly(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing: install Node.js to compile generated clients")
    (tmp_path / "use.ts").write_text(USE)
    packages = [f"--package={each}" for each in PACKAGES]
    command = [npm, "exec", "--yes", "--prefer-offline", "--fetch-retries=0", *packages, "--call", GENERATE]
    ran = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ, NO_COLOR="1"), capture_output=True, text=True, timeout=180, check=False
    )
    if "npm error" in ran.stderr and not (tmp_path / "schema.ts").exists():
        pytest.skip(f"{', '.join(PACKAGES)} are not available, so no client is generated: {ran.stderr.splitlines()[0]}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
