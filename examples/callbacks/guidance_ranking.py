"""station_guidance: where to send a driver, by a score of each station and its rank among those seen."""

scores = {}  # station id -> score; one worker sees the stations of its own slots


def callback(station_id, module_input):
    """Rank the station: low load ahead, a small power gap and low cost make a good one."""
    ahead = module_input["load_forecast"]
    score = 100.0 - sum(ahead[:2]) / 2 - module_input["power_gap"] / 2 - module_input["station_cost"] / 10
    scores[station_id] = score
    rank = 1 + sum(other > score for other in list(scores.values()))
    return {"guidance_info": {"score": round(score, 1), "rank": rank, "of": len(scores)}}
