#!/usr/bin/env python3
"""Makes the two sample files of this folder. Everything in them is invented: channels, people, pages, videos, numbers.

    python3 pipelines/data/make_samples.py

wikipedia_edits.ndjson: two hours of edits of five channels, one JSON object of 20 keys a line, in order of time; the
first rows carry stray dates, one channel is surged by people, another gets a robot's batch job that is no surge.
trending_sample.csv: twelve daily snapshots of 50 trending videos (11 columns, byte-order mark, CRLF, day.month without a
year), with breakouts, engagement collapses, a counter that falls to 0 and a broken id.

The same bytes on every machine: the generator of random numbers is written out here.
"""
import json
import math
import os

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1


class Rng:
    """SplitMix64 (Steele, Lea, Flood 2014)."""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        x = self.state
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)

    def below(self, n):
        return self.next() % n

    def unit(self):
        return (self.next() >> 11) / (1 << 53)

    def pick(self, items):
        return items[self.below(len(items))]

    def near(self, low, high):
        return low + (high - low) * self.unit()


# ---- edits -----------------------------------------------------------------------------------------------------------
START = 1772532000  # 2026-03-03T10:00:00Z
MINUTES = 120
STRAY_DAYS = [-1, -2, -3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]  # the first rows, off by so many days
SURGE = range(92, 98)  # minutes in which people flock to one page of the first channel
BATCH = range(60, 66)  # minutes in which a robot works through a list

# name, edits of people a minute, edits of robots a minute
CHANNELS = [("#en.samplepedia", 4, 1), ("#vi.samplepedia", 1, 5), ("#de.samplepedia", 2, 0),
            ("#fr.samplepedia", 1, 1), ("#ka.samplepedia", 0, 1)]
FIRST = ["Amber", "Basalt", "Cobalt", "Dune", "Ember", "Fjord", "Garnet", "Harbor", "Iris", "Juniper", "Kestrel", "Lumen"]
SECOND = ["Archive", "Bridge", "Canal", "Delta", "Engine", "Festival", "Glacier", "Harvest", "Island", "Junction", "Lantern"]
NAMESPACES = ["Main"] * 8 + ["Talk", "User", "Category", "Project"]
COMMENTS = ["typo", "added a source", "/* History */", "shorter sentence", "new section, with dates", "undo the last edit",
            "link to the \"see also\" page", "größere Änderung", "sửa lỗi nhỏ", ""]
PLACES = [("Nordhaven", "XA", "Arcadia", "NH", "North Harbor"), ("Sankt Felsen", "XB", "Borealis", "SF", "Felsenland"),
          ("Lac-Vert", "XC", "Celadon", None, None)]


def stamp(seconds, millis):
    days, rest = divmod(seconds, 86400)
    # Civil date from a day number (Hinnant's algorithm), for years after 2000.
    z = days + 719468
    era, doe = divmod(z, 146097)
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    day, month = doy - (153 * mp + 2) // 5 + 1, mp + 3 if mp < 10 else mp - 9
    year = yoe + era * 400 + (1 if month <= 2 else 0)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (year, month, day, rest // 3600, rest // 60 % 60, rest % 60, millis)


def edit(rng, channel, robot, page=None):
    anonymous = not robot and rng.below(5) == 0
    place = rng.pick(PLACES) if anonymous else (None,) * 5
    if robot:
        user = "%sBot" % rng.pick(FIRST[:3])
    elif anonymous:
        user = "192.0.2.%d" % (1 + rng.below(250))  # addresses set aside for documentation
    else:
        user = "%s%d" % (rng.pick(FIRST), 10 + rng.below(60))
    added = 18 if robot else int(math.exp(rng.near(0, 7)))
    deleted = 0 if robot or rng.below(4) else rng.below(200)
    namespace = rng.pick(NAMESPACES)
    title = page or "%s %s" % (rng.pick(FIRST), rng.pick(SECOND))
    return {
        "channel": channel, "cityName": place[0], "comment": "routine clean-up" if robot else rng.pick(COMMENTS),
        "countryIsoCode": place[1], "countryName": place[2], "isAnonymous": anonymous,
        "isMinor": robot or rng.below(6) == 0, "isNew": rng.below(18) == 0, "isRobot": robot,
        "isUnpatrolled": rng.below(12) == 0, "metroCode": 900 + rng.below(9) if anonymous and rng.below(9) == 0 else None,
        "namespace": namespace, "page": title if namespace == "Main" else "%s:%s" % (namespace, title),
        "regionIsoCode": place[3], "regionName": place[4], "user": user, "delta": added - deleted, "added": added,
        "deleted": deleted,
    }


def write_edits(path):
    rng = Rng(2026)
    rows = []
    for minute in range(MINUTES):
        for number, (channel, people, robots) in enumerate(CHANNELS):
            if number == 0 and minute in SURGE:
                people = 15
            if number == 3 and minute in BATCH:
                robots = 14
            jitter = 1 if people > 1 else 0
            for robot, count in ((False, people + rng.below(2 + jitter) - jitter), (True, robots)):
                for _ in range(max(0, count)):
                    page = "Lantern Festival" if number == 0 and minute in SURGE and not robot else None
                    at = (START + 60 * minute) * 1000 + rng.below(60000)
                    rows.append((at, edit(rng, channel, robot, page)))
    rows.sort(key=lambda row: row[0])
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for i, (at, row) in enumerate(rows):
            seconds = at // 1000 + (86400 * STRAY_DAYS[i] if i < len(STRAY_DAYS) else 0)
            line = {"time": stamp(seconds, at % 1000), **row}
            out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


# ---- trending videos -------------------------------------------------------------------------------------------------
DAYS, SLOTS, LIFE = 12, 50, 6  # snapshots; videos in each; snapshots in which a video stays
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
MAKERS = ["Orchard Kitchen", "Paper Telescope", "Northbound Cycling", "Tin Robot Reviews", "The Quiet Cellist",
          "Gravel & Grace", "Midnight Chemistry", "Old Maps Club", "Sunday Goalkeepers", "Velvet Static"]
TOPICS = ["a tower of pancakes", "the smallest lighthouse", "three days by bicycle", "a clock made of ice", "one hard chord",
          "the lost tunnel", "salt, light and copper", "a city in 1890", "the last penalty", "tapes from the attic"]
OPENINGS = ["How we built", "Nobody expected", "We tried", "The story of", "What is inside", "Again:"]
KINDS = [1, 10, 17, 22, 24, 28]
BREAKOUTS = {(8, 7): 2600000, (10, 23): 4100000}  # (day, slot): views that day
COLLAPSES = {(9, 31): 420000, (11, 12): 380000}  # (day, slot): views that day, hardly any engagement with them
RESETS = {(7, 3)}  # the views counter falls to 0
BROKEN_ID = (4, 40)  # an id that is one character too long


class Video:
    def __init__(self, rng, number):
        self.id = "".join(rng.pick(ALPHABET) for _ in range(11))
        self.maker = rng.pick(MAKERS)
        self.title = "%s %s (part %d)" % (rng.pick(OPENINGS), rng.pick(TOPICS), 1 + number)
        self.kind = rng.pick(KINDS)
        self.pace = math.exp(rng.near(10.3, 12.2))
        self.rate = rng.near(0.03, 0.06)
        self.views = int(self.pace * rng.near(1, 3))
        self.likes = int(self.views * self.rate)
        self.dislikes = self.likes // 30
        self.comments = self.likes // 8
        self.age = 0

    def grow(self, rng, views, rate):
        self.age += 1
        self.views += views
        new = int(views * rate)
        self.likes += new
        self.dislikes += new // 30
        self.comments += new // 8


def write_trending(path):
    rng = Rng(1703)
    made = 0
    videos = []
    for slot in range(SLOTS):
        videos.append(Video(rng, made))
        videos[-1].age = slot % LIFE
        made += 1
    planted = {slot for _, slot in list(BREAKOUTS) + list(COLLAPSES) + list(RESETS)}
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write("\ufeff" + "video_id,title,channel_title,category_id,tags,views,likes,dislikes,comment_total,"
                  "thumbnail_link,date\r\n")
        for day in range(DAYS):
            for slot in range(SLOTS):
                video = videos[slot]
                if day and video.age >= LIFE and slot not in planted:
                    video = videos[slot] = Video(rng, made)
                    made += 1
                elif day:
                    views, rate = int(video.pace * rng.near(0.8, 1.2) / (1 + video.age)), video.rate * rng.near(0.8, 1.2)
                    if (day, slot) in BREAKOUTS:
                        views = BREAKOUTS[day, slot]
                    if (day, slot) in COLLAPSES:
                        views, rate = COLLAPSES[day, slot], 0.0006
                    video.grow(rng, views, rate)
                shown = 0 if (day, slot) in RESETS else video.views
                name = video.id + ("x" if (day, slot) == BROKEN_ID else "")
                out.write('%s,"%s","%s",%d,%s,%d,%d,%d,%d,%s,%02d.04\r\n' % (
                    name, video.title, video.maker, video.kind, "|".join(video.title.lower().split()[:4]).replace(",", ""),
                    shown, video.likes, video.dislikes, video.comments,
                    "https://video.example/%s/default.jpg" % video.id, 1 + day))


if __name__ == "__main__":
    write_edits(os.path.join(HERE, "wikipedia_edits.ndjson"))
    write_trending(os.path.join(HERE, "trending_sample.csv"))
